"""Frames that a model reads several at a time, one after the other in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def stacked(frames: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Frames [time, F] as steps [ceil(time / count), count * F].

    A last step that they do not fill repeats the last frame.
    """
    missing = -len(frames) % count
    if missing:
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
    steps: NDArray[np.float32] = frames.reshape(len(frames) // count, count * frames.shape[1])
    return steps
