"""One utterance in a file of numpy, for commands that take lines of text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_utterance(path: str) -> NDArray[Any]:
    """The array of an .npy file. Raises InputError for what is none, or has no frames."""
    try:
        with Path(path).open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"expected the path of an .npy file of frames, float32 [time, features], got {path!r}; "
            f"{error}"
        ) from error
    if array.ndim != 2 or not len(array):
        raise InputError(
            f"{path} should hold float32 [time, features] of at least one frame, got {array.dtype} "
            f"{list(array.shape)}"
        )
    return array
