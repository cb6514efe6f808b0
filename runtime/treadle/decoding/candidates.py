"""What beam searches over frames share: merging by symbol sequence, and choosing the best.

K hypotheses, V symbols. After a frame a hypothesis stays as it is or gets one symbol more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Ids = tuple[int, ...]


def extensions_within(sequences: Sequence[Ids]) -> list[tuple[int, int]]:
    """(i, j) wherever sequence j is sequence i with one symbol more."""
    places = {ids: place for place, ids in enumerate(sequences)}
    return [
        (places[ids[:-1]], place)
        for place, ids in enumerate(sequences)
        if ids and ids[:-1] in places
    ]


def best_candidates(
    stayed: NDArray[np.float64], extended: NDArray[np.float64], beam: int
) -> list[tuple[int, int | None]]:
    """(hypothesis, its new symbol or None where it stays) of the `beam` best, best first.

    Scores are `stayed` [K] and `extended` [K, V]; minus infinity is no candidate. Of equal ones
    those that stay come first, then lower hypotheses, then lower symbols.
    """
    scores = np.concatenate([stayed, extended.reshape(-1)])
    kept = np.flatnonzero(scores > -np.inf)
    if len(kept) > beam:
        # Only what reaches the last place of the beam is sorted: K times V is large.
        kept = kept[scores[kept] >= np.partition(scores[kept], -beam)[-beam]]
    kept = kept[np.argsort(-scores[kept], kind="stable")][:beam]
    chosen: list[tuple[int, int | None]] = []
    for index in kept.tolist():
        if index < len(stayed):
            chosen.append((index, None))
        else:
            chosen.append(divmod(index - len(stayed), extended.shape[1]))
    return chosen


def common_length(sequences: Sequence[Ids]) -> int:
    """How many symbols all sequences begin with in common."""
    # What the first and the last in order begin with, all between them begin with, too.
    first, last = min(sequences), max(sequences)
    pairs = enumerate(zip(first, last, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(last)))
