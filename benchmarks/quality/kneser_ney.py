"""How well do counts alone predict a sequence? Interpolated Kneser-Ney, to compare models with.

Chen & Goodman, "An empirical study of smoothing techniques for language modeling", 1999, equations
24 to 26, with one discount an order, D = n1 / (n1 + 2 n2), and a half where nothing was seen once.
Of the highest order the counts themselves are discounted, of each lower one the number of different
symbols that a context was seen after. The lowest is mixed with the uniform distribution over the
vocabulary, so no symbol has probability 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Gram = tuple[int, ...]
START = -1
"""Stands before the first symbol of a sequence, as often as a context has places."""


class KneserNey:
    """P(symbol | the `order` - 1 symbols before it), symbols 0..`size` - 1.

    Raises ValueError for an order below 1, no sequences, or a symbol out of range.
    """

    def __init__(self, sequences: Iterable[Sequence[int]], order: int, size: int) -> None:
        if order < 1 or size < 1:
            raise ValueError(f"expected an order and a size of 1 or more, got {order}, {size}")
        self.order, self.size = order, size
        highest = Counter[Gram]()
        for sequence in sequences:
            if len(sequence) and not (min(sequence) >= 0 and max(sequence) < size):
                raise ValueError(f"expected symbols in 0..{size - 1}")
            padded = self._padded(sequence)
            highest.update(zip(*(padded[k:] for k in range(order)), strict=False))
        if not highest:
            raise ValueError("expected at least one symbol to count, got none")
        self._levels = [_Level(counts) for counts in _orders(highest, order)]

    def nats(self, sequence: Sequence[int]) -> NDArray[np.float64]:
        """Negative log-probabilities of a sequence's symbols [N], each given all before it."""
        padded, before = self._padded(sequence), self.order - 1
        grams = (tuple(padded[k : k + before]) for k in range(len(sequence)))
        chances = [
            self.probability(context, symbol)
            for context, symbol in zip(grams, sequence, strict=True)
        ]
        nats: NDArray[np.float64] = -np.log(np.array(chances))
        return nats

    def probability(self, context: Gram, symbol: int) -> float:
        """P(symbol | context), a context of `order` - 1 symbols, `START` where there is none."""
        chance = 1 / self.size
        for length, level in enumerate(self._levels):
            chance = level.mixed(context[len(context) - length :], symbol, chance)
        return chance

    def _padded(self, sequence: Sequence[int]) -> list[int]:
        return [START] * (self.order - 1) + list(sequence)


def _orders(highest: Counter[Gram], order: int) -> list[Counter[Gram]]:
    """Counts of every order from 1: of the lower ones, how many symbols stood before a gram."""
    orders = [highest]
    for _ in range(order - 1):
        orders.append(Counter(gram[1:] for gram in orders[-1]))
    return orders[::-1]


class _Level:
    """The discounted counts of one order."""

    def __init__(self, counts: Counter[Gram]) -> None:
        self._counts = counts
        ones = sum(count == 1 for count in counts.values())
        twos = sum(count == 2 for count in counts.values())
        self._discount = ones / (ones + 2 * twos) if ones else 0.5
        self._totals: defaultdict[Gram, int] = defaultdict(int)
        self._kinds: defaultdict[Gram, int] = defaultdict(int)
        for gram, count in counts.items():
            self._totals[gram[:-1]] += count
            self._kinds[gram[:-1]] += 1

    def mixed(self, context: Gram, symbol: int, lower: float) -> float:
        """The chance of a symbol after a context, given that of the order below."""
        total = self._totals.get(context, 0)
        if not total:
            return lower
        own = max(self._counts.get((*context, symbol), 0) - self._discount, 0.0)
        left = self._discount * self._kinds[context]
        return (own + left * lower) / total
