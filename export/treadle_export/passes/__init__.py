"""Passes over the canonical graph: one transformation a file."""
