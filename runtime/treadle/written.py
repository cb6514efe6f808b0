"""Numbers as a line of text holds them: a series, a vector, the path of an utterance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def read_series(line: str, channels: Sequence[str]) -> NDArray[np.float32]:
    """Float32 [time, channels] of `1.5 1.7`, or of two channels `1,2 3,4`. Raises InputError."""
    try:
        return np.array([frame.split(",") for frame in line.split()], np.float32)
    except ValueError as error:
        raise InputError(
            "expected frames of numbers, white space between and within a frame commas "
            f"({','.join(channels)}), got {line[:60]!r}; {error}"
        ) from error


def read_vector(line: str, features: int) -> NDArray[np.float32]:
    """Float32 [numbers] of `1 2 3` or `1,2,3`, which should be `features`. Raises InputError."""
    try:
        return np.array(line.replace(",", " ").split(), np.float32)
    except ValueError as error:
        raise InputError(f"expected {features} numbers, got {line[:60]!r}; {error}") from error
