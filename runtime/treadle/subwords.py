"""Text into pieces of words, by the merges that byte-pair encoding learnt.

Sennrich, Haddow & Birch, "Neural machine translation of rare words with subword units", 2016: a
word is its characters at first; then the pair of neighbours that was learnt first becomes one
piece, until no learnt pair is left. A space belongs to the word after it and is written as `SPACE`
(Kudo & Richardson, "SentencePiece", 2018), so that the pieces of a text joined are the text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from treadle.vocabulary import SPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORDS = re.compile(f"{SPACE}?[^{SPACE}]+|{SPACE}")
_REMEMBERED = 2**16  # words whose pieces are kept


class Merges:
    """Pairs of pieces in the order in which they were learnt."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)
        self._ranks = {pair: rank for rank, pair in enumerate(self.pairs)}
        self._of_word = lru_cache(_REMEMBERED)(self._merged)

    def pieces(self, text: str) -> list[str]:
        """The pieces of a text, with `SPACE` for each space; joined they are the text."""
        words = _WORDS.findall(text.replace(" ", SPACE))
        return [piece for word in words for piece in self._of_word(word)]

    def _merged(self, word: str) -> tuple[str, ...]:
        """The pieces of one word: of all pairs the one learnt first, of its places the leftmost."""
        pieces: list[str] = list(word)
        after, before = list(range(1, len(word) + 1)), list(range(-1, len(word) - 1))
        waiting = [
            found for at in range(len(word) - 1) if (found := self._found(pieces, at, at + 1))
        ]
        heapify(waiting)
        while waiting:
            _, at, left, right = heappop(waiting)
            second = after[at]
            # An earlier merge may have taken either piece away.
            if pieces[at] != left or second == len(word) or pieces[second] != right:
                continue
            pieces[at], pieces[second] = left + right, ""
            after[at] = after[second]
            if after[at] < len(word):
                before[after[at]] = at
            for first, next_one in ((before[at], at), (at, after[at])):
                if first >= 0 and next_one < len(word):
                    found = self._found(pieces, first, next_one)
                    if found:
                        heappush(waiting, found)
        return tuple(piece for piece in pieces if piece)

    def _found(
        self, pieces: list[str], first: int, second: int
    ) -> tuple[int, int, str, str] | None:
        """A pair of neighbours as (rank, place, left, right), None for one that was not learnt."""
        pair = pieces[first], pieces[second]
        rank = self._ranks.get(pair)
        return None if rank is None else (rank, first, *pair)
