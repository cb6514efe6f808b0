"""Recurrent networks as on-device streams."""

__version__ = "0.1.0"
