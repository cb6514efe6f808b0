"""Keras models as foreign models: from `.keras` and `.h5` files, or from a model in memory."""

from treadle_export.keras_models.source import from_keras

__all__ = ["from_keras"]
