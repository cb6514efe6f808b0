"""Torch modules as foreign models: one graph with its states, and the module as its origin."""

from treadle_export.torch_modules.source import foreign_of

__all__ = ["foreign_of"]
