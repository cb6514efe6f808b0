"""Texts to ids and back to words, for a model that makes one of another.

Training and the device share this file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from treadle.errors import InputError
from treadle.vocabulary import SPACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.vocabulary import Vocabulary

Side = Literal["input", "output"]
LOWERCASE: dict[Side, str] = {"input": "lowercase", "output": "lowercase_output"}
"""The keys of a manifest's part `decoding` that say which side is read in lower case."""

_BEFORE = re.compile(r" (?=[,.!?;:%)\]}])")
_AFTER = re.compile(r"(?<=[(\[{]) ")


def detokenized(words: str) -> str:
    """Words with spaces between, as one writes them.

    No space stands before , . ! ? ; : % ) ] } or after ( [ {. `words_of` takes the result for the
    same words.
    """
    return _AFTER.sub("", _BEFORE.sub("", words))


@dataclass(frozen=True, slots=True)
class TextReading:
    """How one side of a pair becomes ids of its vocabulary."""

    vocabulary: Vocabulary
    lowercase: bool = False

    @classmethod
    def of(
        cls, vocabularies: Mapping[str, Vocabulary], decoding: Mapping[str, Any], side: Side
    ) -> TextReading:
        """As the part `decoding` of a manifest says it."""
        return cls(vocabularies[side], decoding.get(LOWERCASE[side]) is True)

    def ids(self, text: str, *, unknown: Literal["error", "symbol"] = "error") -> list[int]:
        """Ids of the text's symbols; `unknown` as in `Vocabulary.encode`. Raises InputError."""
        return self.vocabulary.encode(self._cased(text), unknown=unknown)

    def known_ids(self, text: str) -> list[int] | None:
        """As `ids`, by the unknown symbol; None where it needs one and there is none.

        No model can make such a text.
        """
        try:
            return self.ids(text, unknown="symbol")
        except InputError:
            return None

    def written(self, text: str) -> str:
        """The text as the vocabulary gives it back where it knows every symbol.

        What a model answers is compared with this: its `Vocabulary.text`.
        """
        symbols = self.vocabulary.split(self._cased(text))
        return self.vocabulary.space.join(symbols).replace(SPACE, " ")

    def _cased(self, text: str) -> str:
        return text.lower() if self.lowercase else text
