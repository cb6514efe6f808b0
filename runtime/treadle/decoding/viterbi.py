"""The best sequence of tags under a linear-chain conditional random field.

Lafferty, McCallum & Pereira, "Conditional random fields", 2001; the search is that of Viterbi
1967. A sequence of tags y of length L scores

    first[y_1] + Σ_t emissions[t, y_t] + Σ_t transitions[y_t, y_t+1] + last[y_L]

Notation: B batch, T time, N tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from treadle.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TagScores:
    """What neighbours and ends add to a score, in float32 or float64; minus infinity forbids.

    transitions [N, N] from row to column; first [N] and last [N] for the tags at the ends.
    Raises InputError for shapes that do not fit or a NaN.
    """

    transitions: NDArray[np.floating]
    first: NDArray[np.floating]
    last: NDArray[np.floating]

    def __post_init__(self) -> None:
        size = len(self.first)
        shapes = [array.shape for array in (self.transitions, self.first, self.last)]
        if shapes != [(size, size), (size,), (size,)] or size == 0:
            raise InputError(
                "expected transitions [N, N], first [N] and last [N] of the same N tags, got "
                f"{', '.join(str(list(shape)) for shape in shapes)}"
            )
        if any(np.isnan(array).any() for array in (self.transitions, self.first, self.last)):
            raise InputError("expected scores of tags, got NaN; the weights are damaged")


def best_tags(
    emissions: NDArray[np.floating], lengths: NDArray[np.int64], scores: TagScores
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best tags int64 [B, T], 0 where padded, and their scores float64 [B].

    emissions [B, T, N], lengths int64 [B] in 1..T; what is padded is not looked at. Of equal
    scores the smaller tags win. Summed in float64: B · T · N² additions.

    Raises InputError for shapes that do not fit.
    """
    batch, time, tags = _sizes(emissions, lengths, scores)
    x = emissions.astype(np.float64)
    best = scores.first + x[:, 0]
    came_from = np.zeros((batch, time, tags), np.int64)
    for t in range(1, time):
        through = best[:, :, None] + scores.transitions
        came_from[:, t] = through.argmax(axis=1)
        running = (lengths > t)[:, None]
        best = np.where(running, through.max(axis=1) + x[:, t], best)
    best = best + scores.last
    paths = np.zeros((batch, time), np.int64)
    rows, tag = np.arange(batch), best.argmax(axis=1)
    for t in range(time - 1, -1, -1):
        inside = lengths > t
        paths[inside, t] = tag[inside]
        tag = np.where(inside, came_from[rows, t, tag], tag)
    return paths, best.max(axis=1)


def tag_nats(
    emissions: NDArray[np.floating],
    tags: NDArray[np.int64],
    lengths: NDArray[np.int64],
    scores: TagScores,
) -> NDArray[np.float64]:
    """Nats of whole sequences of tags int64 [B, T]: log Σ exp(score) - score, float64 [B].

    The sum is over all sequences, by the forward algorithm in float64; the rest is as in
    `best_tags`.
    """
    batch, time, _ = _sizes(emissions, lengths, scores)
    x, rows = emissions.astype(np.float64), np.arange(batch)
    total = scores.first + x[:, 0]
    score = scores.first[tags[:, 0]] + x[rows, 0, tags[:, 0]]
    for t in range(1, time):
        running = lengths > t
        through = np.logaddexp.reduce(total[:, :, None] + scores.transitions, axis=1)
        total = np.where(running[:, None], through + x[:, t], total)
        here = scores.transitions[tags[:, t - 1], tags[:, t]] + x[rows, t, tags[:, t]]
        score = np.where(running, score + here, score)
    whole = np.logaddexp.reduce(total + scores.last, axis=1)
    nats: NDArray[np.float64] = whole - score - scores.last[tags[rows, lengths - 1]]
    return nats


def _sizes(
    emissions: NDArray[np.floating], lengths: NDArray[np.int64], scores: TagScores
) -> tuple[int, int, int]:
    tags = len(scores.first)
    if emissions.ndim != 3 or 0 in emissions.shape or emissions.shape[2] != tags:
        raise InputError(f"expected emissions [batch, time, {tags}], got {list(emissions.shape)}")
    batch, time, _ = emissions.shape
    if lengths.shape != (batch,) or lengths.min() < 1 or lengths.max() > time:
        raise InputError(
            f"expected a length in 1..{time} for each of {batch} rows, got {lengths.tolist()}"
        )
    return batch, time, tags
