"""A constraint: the whole text matches a regular expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from treadle.decoding.expression import parse_expression
from treadle.decoding.positions import PositionAutomaton
from treadle.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle.decoding.positions import Reading
    from treadle.vocabulary import Vocabulary

# Bounds time and memory: a set of n positions can have 2**n states, as in (a|b)*a(a|b){20}.
MOST_STATES = 2000

# A place among the symbols: what the automaton has read, and whether any symbol came before.
_Place = tuple["Reading", bool]


class RegularExpression:
    """Lets through the symbols whose text, as `Vocabulary.text` joins it, matches `pattern` whole.

    The expression is made an automaton over the vocabulary's symbols at once, and what can no
    longer lead to a match is cut away: decoding never runs into a dead end. Special symbols are
    left out. Building takes time by states times symbols. For the language of patterns see
    `treadle.decoding.expression`.

    Raises InputError for a pattern outside of it (naming the place), one that no sequence of the
    vocabulary's symbols matches, and one too large (MOST_POSITIONS, MOST_STATES).
    """

    def __init__(self, pattern: str, vocabulary: Vocabulary) -> None:
        edges, complete = _explore(PositionAutomaton(parse_expression(pattern)), vocabulary)
        alive = _leading_to(complete, edges)
        if 0 not in alive:
            raise InputError(
                f"no sequence of the vocabulary's symbols matches the expression {pattern!r}; "
                "compare it with Vocabulary.symbols"
            )
        self._edges = [{i: to for i, to in there.items() if to in alive} for there in edges]
        self._allowed = [np.array(list(there), dtype=np.int64) for there in self._edges]
        self._complete = complete

    def start(self) -> int:
        """The state before the first symbol."""
        return 0

    def allowed(self, state: int) -> NDArray[np.int64]:
        """Ids after which a match is still possible."""
        return self._allowed[state]

    def complete(self, state: int) -> bool:
        """Whether what was made matches."""
        return self._complete[state]

    def advance(self, state: int, symbol: int) -> int:
        """The state after one more symbol, which has to be allowed."""
        return self._edges[state][symbol]


def _explore(
    automaton: PositionAutomaton, vocabulary: Vocabulary
) -> tuple[list[dict[int, int]], list[bool]]:
    """Every state that symbols lead to: its edges, id -> state, and whether a text may end there.

    State 0 is the start.
    """
    texts = [(i, symbol) for i in range(len(vocabulary)) for symbol in vocabulary.decode([i])]
    space = vocabulary.space
    places: list[_Place] = [(automaton.start, False)]
    numbers = {places[0]: 0}
    edges: list[dict[int, int]] = []
    for reading, inside in places:  # grows as it is walked
        there: dict[int, int] = {}
        for i, symbol in texts:
            reached = automaton.advance(reading, space + symbol if inside else symbol)
            if reached is not None:
                place = (reached, bool(space))
                if place not in numbers:
                    numbers[place] = len(places)
                    places.append(place)
                there[i] = numbers[place]
        if len(places) > MOST_STATES:
            raise InputError(
                f"expected an expression of at most {MOST_STATES} states over the vocabulary's "
                "symbols, got more; simplify it, above all bounds {m,n} after a * or +"
            )
        edges.append(there)
    return edges, [reading.complete for reading, _ in places]


def _leading_to(goals: list[bool], edges: list[dict[int, int]]) -> set[int]:
    """The states from which a goal can be reached, goals included."""
    sources: list[set[int]] = [set() for _ in edges]
    for source, there in enumerate(edges):
        for target in there.values():
            sources[target].add(source)
    found = {state for state, goal in enumerate(goals) if goal}
    waiting = list(found)
    while waiting:
        new = sources[waiting.pop()] - found
        found |= new
        waiting += new
    return found
