"""How likely a transcript is, summed over all its alignments with the steps of an utterance.

Notation: T steps, U symbols of a transcript, V symbols with the blank.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def fewest_steps(symbols: Sequence[object]) -> int:
    """How many steps an alignment of CTC has at least: between equal symbols stands a blank."""
    return len(symbols) + sum(before == after for before, after in pairwise(symbols))


def ctc_nats(log_probabilities: NDArray[np.float64], ids: Sequence[int], blank: int) -> float:
    """-log Pr(ids | x) under connectionist temporal classification, in nats.

    log_probabilities float64 [T, V]. Graves et al. 2006, equations 6 and 7, in logarithms: symbols
    with a blank before, between and behind them; a step stays, moves on by one, or by two where
    that leaves out a blank between unlike symbols. Raises InputError for no steps, and for a
    transcript with no alignment.
    """
    needed = max(fewest_steps(ids), 1)
    if len(log_probabilities) < needed:
        raise InputError(
            f"expected at least {needed} steps for a transcript of {len(ids)} symbols under CTC, "
            f"got {len(log_probabilities)}; no alignment gives it"
        )
    places = np.full(2 * len(ids) + 1, blank, np.int64)
    places[1::2] = ids
    skips = np.zeros(len(places), bool)
    skips[2:] = (places[2:] != blank) & (places[2:] != places[:-2])
    alpha = np.full(len(places), -np.inf)
    alpha[:2] = log_probabilities[0, places[:2]]
    for step in log_probabilities[1:]:
        moved = np.concatenate([[-np.inf], alpha[:-1]])
        skipped = np.concatenate([[-np.inf, -np.inf], alpha[:-2]])[: len(alpha)]
        reached = np.logaddexp(alpha, moved)
        alpha = np.logaddexp(reached, np.where(skips, skipped, -np.inf)) + step[places]
    return -float(np.logaddexp.reduce(alpha[-2:]))


def rnnt_nats(log_probabilities: NDArray[np.float64], ids: Sequence[int], blank: int) -> float:
    """-log Pr(ids | x) under a recurrent neural network transducer, in nats.

    log_probabilities float64 [T, U + 1, V]: of the next symbol after a step and so many of the
    `ids`. Graves 2012, equations 16 and 17, in logarithms. Raises InputError for no steps.
    """
    if not len(log_probabilities):
        raise InputError("expected at least one step for a transcript, got none")
    alpha = np.full(len(ids) + 1, -np.inf)
    alpha[0] = 0.0
    for step in log_probabilities:
        for place, symbol in enumerate(ids):
            emitted = alpha[place] + step[place, symbol]
            alpha[place + 1] = np.logaddexp(alpha[place + 1], emitted)
        alpha = alpha + step[:, blank]
    return -float(alpha[-1])
