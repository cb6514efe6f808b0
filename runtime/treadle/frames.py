"""Chunks of samples of any size, as they come from a microphone, cut into a model's frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from treadle.arrays import check_count
from treadle.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Framer:
    """Keeps the samples that do not fill a frame yet.

    size: samples of a frame; hop: samples from the start of one to the start of the next, by
    default as many, so that frames do not overlap. A larger hop leaves samples out. Raises
    InputError for sizes below 1.
    """

    def __init__(self, size: int, hop: int | None = None) -> None:
        self.size = check_count(size, "size", 1)
        self.hop = self.size if hop is None else check_count(hop, "hop", 1)
        self._samples = np.zeros(0, np.float32)
        self._skipped = 0  # samples to leave out before the next frame

    @property
    def waiting(self) -> int:
        """Samples that are kept for the next frames."""
        return len(self._samples)

    def push(self, samples: ArrayLike) -> NDArray[np.float32]:
        """Take in float32 [n] and give the frames that are full, float32 [k, size].

        Raises InputError for another dtype or rank; nothing is taken in then.
        """
        given = np.asarray(samples)
        if given.dtype != np.float32 or given.ndim != 1:
            raise InputError(
                f"samples should be float32 [n], got {given.dtype} {list(given.shape)}; convert "
                "integers to a fraction of full scale: (pcm / 32768).astype('float32')"
            )
        left_out = min(self._skipped, len(given))
        self._skipped -= left_out
        held = np.concatenate([self._samples, given[left_out:]])
        count = max(0, (len(held) - self.size) // self.hop + 1)
        begins = np.arange(count)[:, None] * self.hop
        frames: NDArray[np.float32] = held[begins + np.arange(self.size)]
        self._samples = held[count * self.hop :]
        self._skipped += max(0, count * self.hop - len(held))
        return frames

    def clear(self) -> None:
        """Forget all samples: the next one begins a frame."""
        self._samples, self._skipped = np.zeros(0, np.float32), 0
