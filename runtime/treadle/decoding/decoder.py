"""What every search needs of a stream, and what it gives back.

B rows of the stream, V symbols of the output vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from treadle.errors import StateError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Decoder(Protocol):
    """The part of a Stream that a search uses."""

    @property
    def batch_size(self) -> int:
        """Number of rows B."""

    def step(self, x: NDArray[np.int64], *, copy: bool = True) -> Any:
        """Read one symbol a row, `[B]`; the next symbols' logits, `[B, V]`."""

    def select(self, rows: NDArray[np.int64]) -> None:
        """Let row i continue from what row `rows[i]` carries."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded sequence.

    `ids` leave out start and end; `log_probability` is of all symbols made, the end included;
    `score` is what results are ranked by; `finished` is False when `max_length` cut it off.
    """

    ids: tuple[int, ...]
    log_probability: float
    score: float
    finished: bool


def read_logits(output: Any, step: int) -> NDArray[np.float32]:
    """The logits among a step's outputs, `[B, V]`, or among those from `step` on, `[B, T, V]`.

    Raises StateError when one is not finite, naming row and step.

    A search over NaN would return some symbol as if nothing had happened: every comparison with
    NaN is false, and argmax calls it the largest.
    """
    logits: NDArray[np.float32] = output.logits if hasattr(output, "logits") else output
    if not np.isfinite(logits).all():
        finite = np.isfinite(logits).all(axis=-1).reshape(len(logits), -1)
        row, later = np.argwhere(~finite)[0].tolist()
        raise StateError(
            f"expected finite logits, got NaN or infinity in row {row} at step {step + later}: the "
            "state or the weights are damaged; reset the stream, and run `treadle verify` on the "
            "bundle"
        )
    return logits


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-probabilities over the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted
