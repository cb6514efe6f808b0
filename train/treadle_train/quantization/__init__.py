"""Weights of few bits: how they are rounded, which ones, and training that sees them so."""
