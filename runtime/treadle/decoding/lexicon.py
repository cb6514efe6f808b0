"""A constraint: sequences out of a list, one of them or several with separators between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.vocabulary import Vocabulary


class Lexicon:
    """Lets through one of `words`, sequences of ids; with `separators` any number of them.

    One separator stands between two words. Held as a trie, so that a word costs no more the longer
    the list. A sequence may end after a whole word. Raises InputError for no words, an empty word,
    or a word with a separator in it.
    """

    def __init__(self, words: Iterable[Sequence[int]], separators: Iterable[int] = ()) -> None:
        self._separators = frozenset(separators)
        self._children: list[dict[int, int]] = [{}]  # node -> id -> node; node 0 is the root
        self._whole: set[int] = set()
        for word in words:
            self._add(word)
        if not self._whole:
            raise InputError("expected at least one word to choose from, got none")
        for node in self._whole:
            self._children[node] |= dict.fromkeys(self._separators, 0)

    @classmethod
    def of_texts(
        cls, words: Iterable[str], vocabulary: Vocabulary, separators: str = ""
    ) -> Lexicon:
        """The lexicon of texts in a vocabulary, each symbol of `separators` being one.

        Raises InputError for a symbol outside the vocabulary as well.
        """
        return cls([vocabulary.encode(word) for word in words], vocabulary.encode(separators))

    def _add(self, word: Sequence[int]) -> None:
        if not len(word):
            raise InputError(
                "expected words of at least one symbol, got an empty one; leave it out"
            )
        if within := self._separators.intersection(word):
            raise InputError(
                f"the word of the ids {list(word)} has the separator {min(within)} in it; split it "
                "there, or choose other separators"
            )
        node = 0
        for symbol in word:
            if symbol not in self._children[node]:
                self._children[node][symbol] = len(self._children)
                self._children.append({})
            node = self._children[node][symbol]
        self._whole.add(node)

    def start(self) -> int:
        """The root of the trie."""
        return 0

    def allowed(self, state: int) -> Iterable[int]:
        """The ids that go on towards a word, and the separators after a whole one."""
        return self._children[state]

    def complete(self, state: int) -> bool:
        """Whether the last word is whole."""
        return state in self._whole

    def advance(self, state: int, symbol: int) -> int:
        """The node below; after a separator the root."""
        return self._children[state][symbol]


def choices(texts: Iterable[str], vocabulary: Vocabulary) -> Lexicon:
    """The constraint that lets through exactly one of `texts`. Raises InputError as `Lexicon`."""
    return Lexicon.of_texts(texts, vocabulary)
