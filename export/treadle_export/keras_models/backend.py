"""Keras itself, imported when a Keras model is."""

import os
from typing import Any

from treadle.errors import ExportError


def keras() -> Any:
    """The package keras, on PyTorch where the environment names no other backend.

    Raises:
        ExportError: it or h5py is not installed.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import h5py  # noqa: F401 - Keras finds out about it late, in the middle of a file
        import keras as package
    except ImportError as error:
        raise ExportError(
            f"expected the packages keras and h5py, got: {error}; pip install 'treadle[keras]'"
        ) from error
    return package
