"""Tuning: candidates timed on the machine at hand, and the choice among them."""
