"""A regular expression as an automaton that reads characters, in time linear in the text.

Its states are sets of positions, the characters of the expression, held as the bits of an integer:
which position may come next. Source: V. M. Glushkov, "The abstract theory of automata", 1961; in
the form of Berry & Sethi, "From regular expressions to deterministic automata", 1986.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from treadle.decoding.expression import Characters, Either, Joined, Repeated
from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.decoding.expression import Expression

# Bounds the time of building; repetitions {m,n} are written out, so they count n times.
MOST_POSITIONS = 1000


class Reading(NamedTuple):
    """Where an automaton is: positions that may come next, and whether the text may end here."""

    following: int
    complete: bool


class _Part(NamedTuple):
    """A part of an expression: whether it may be empty, its first and its last positions."""

    empty: bool
    first: int
    last: int


_NOTHING = _Part(True, 0, 0)


class PositionAutomaton:
    """Reads texts character by character; `start` is where it begins.

    Raises InputError for an expression of more than `MOST_POSITIONS` characters.
    """

    def __init__(self, expression: Expression) -> None:
        self._characters: list[Characters] = []
        self._follow: list[int] = []
        whole = self._build(expression)
        self._last = whole.last
        self._matching: dict[str, int] = {}
        self._readings: dict[int, Reading] = {}
        self.start = Reading(whole.first, whole.empty)

    def advance(self, reading: Reading, text: str) -> Reading | None:
        """Where `text` leads to; None where it leads nowhere."""
        for character in text:
            reached = reading.following & self._positions_of(character)
            if not reached:
                return None
            reading = self._reading_after(reached)
        return reading

    def _positions_of(self, character: str) -> int:
        """All positions that the character may stand at."""
        if character not in self._matching:
            places = enumerate(self._characters)
            self._matching[character] = sum(1 << i for i, c in places if character in c)
        return self._matching[character]

    def _reading_after(self, reached: int) -> Reading:
        if reached not in self._readings:
            following = 0
            for position in _bits(reached):
                following |= self._follow[position]
            self._readings[reached] = Reading(following, bool(reached & self._last))
        return self._readings[reached]

    def _build(self, expression: Expression) -> _Part:
        match expression:
            case Characters():
                return self._position(expression)
            case Joined(parts):
                whole = _NOTHING
                for part in parts:
                    whole = self._join(whole, self._build(part))
                return whole
            case Either(alternatives):
                built = [self._build(part) for part in alternatives]
                return _either(built)
            case Repeated():
                return self._repeat(expression)

    def _position(self, characters: Characters) -> _Part:
        if len(self._characters) == MOST_POSITIONS:
            raise InputError(
                f"expected an expression of at most {MOST_POSITIONS} characters with repetitions "
                "{m,n} written out, got more; use smaller bounds, or * and +"
            )
        bit = 1 << len(self._characters)
        self._characters.append(characters)
        self._follow.append(0)
        return _Part(False, bit, bit)

    def _join(self, left: _Part, right: _Part) -> _Part:
        self._let_follow(left.last, right.first)
        return _Part(
            left.empty and right.empty,
            left.first | (right.first if left.empty else 0),
            right.last | (left.last if right.empty else 0),
        )

    def _repeat(self, repeated: Repeated) -> _Part:
        """The part written out as often as it may come, the last copy in a loop if without end."""
        copies = max(repeated.least, 1) if repeated.most is None else repeated.most
        whole = _NOTHING
        for copy in range(copies):
            before = len(self._characters)
            part = self._build(repeated.part)
            if len(self._characters) == before:
                return _NOTHING  # a part without characters is empty, however often
            if repeated.most is None and copy == copies - 1:
                self._let_follow(part.last, part.first)
            if copy >= repeated.least:
                part = part._replace(empty=True)
            whole = self._join(whole, part)
        return whole

    def _let_follow(self, before: int, after: int) -> None:
        for position in _bits(before):
            self._follow[position] |= after


def _either(parts: list[_Part]) -> _Part:
    empty, first, last = False, 0, 0
    for part in parts:
        empty, first, last = empty or part.empty, first | part.first, last | part.last
    return _Part(empty, first, last)


def _bits(mask: int) -> Iterator[int]:
    """The places of the bits that are set, lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
