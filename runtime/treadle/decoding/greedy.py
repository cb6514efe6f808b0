"""Greedy search: the most likely symbol at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding.decoder import Decoded, log_softmax, read_logits

if TYPE_CHECKING:
    from treadle.decoding.decoder import Decoder


def greedy_search(stream: Decoder, *, start: int, end: int, max_length: int) -> list[Decoded]:
    """One sequence a row: follow the largest logit, of equal ones the lowest id.

    A row stops at `end` or after `max_length` steps; what it would say afterwards is not looked
    at. The score is the log-probability. Raises StateError for logits that are not finite.
    """
    batch = stream.batch_size
    ids: list[list[int]] = [[] for _ in range(batch)]
    totals = np.zeros(batch)
    active = np.ones(batch, dtype=bool)
    tokens = np.full(batch, start, dtype=np.int64)
    for step in range(max_length):
        logits = read_logits(stream.step(tokens), step)
        tokens = logits.argmax(axis=-1).astype(np.int64)
        chosen = np.take_along_axis(log_softmax(logits), tokens[:, None], axis=1)[:, 0]
        totals[active] += chosen[active]
        active &= tokens != end
        if not active.any():
            break
        for row in np.flatnonzero(active):
            ids[row].append(int(tokens[row]))
    return [
        Decoded(tuple(made), float(total), float(total), finished=not running)
        for made, total, running in zip(ids, totals, active, strict=True)
    ]
