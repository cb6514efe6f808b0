"""Tokens of a sentence to ids, for a model that tags them; training and the device share this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from treadle.vocabulary import Vocabulary


def normalized(tokens: Sequence[str], *, lowercase: bool) -> list[str]:
    """The tokens as a vocabulary has them."""
    return [token.lower() if lowercase else token for token in tokens]


@dataclass(frozen=True, slots=True)
class TokenReading:
    """How tokens become ids of a vocabulary: whole, and by so many of their characters.

    A token is not split. With `characters` of 0 it is one id; else an id, then those of its
    characters as they are written, with padding before, behind and in the place of what a short
    token lacks. Of a long one the first and the last count. Tokens and characters are never all
    known: one that the vocabulary lacks is its unknown symbol.
    """

    vocabulary: Vocabulary
    lowercase: bool = False
    characters: int = 0

    @classmethod
    def of(cls, vocabulary: Vocabulary, decoding: Mapping[str, Any]) -> TokenReading:
        """As the part `decoding` of a manifest says it."""
        lowercase, characters = decoding.get("lowercase"), decoding.get("characters")
        return cls(vocabulary, lowercase is True, characters if type(characters) is int else 0)

    @property
    def columns(self) -> tuple[int, ...]:
        """The shape of one token's ids."""
        return (self.characters + 3,) if self.characters else ()

    def ids(self, tokens: Sequence[str]) -> NDArray[np.int64]:
        """int64 [tokens], or [tokens, 1 + characters + 2].

        Raises InputError where the vocabulary has no unknown symbol and needs one.
        """
        whole = normalized(tokens, lowercase=self.lowercase)
        words = np.array(self.vocabulary.encode_symbols(whole, unknown="symbol"), np.int64)
        if not self.characters:
            return words
        rows = np.full((len(tokens), *self.columns), self.vocabulary.padding or 0, np.int64)
        rows[:, 0] = words
        for row, token in zip(rows, tokens, strict=True):
            kept = self._kept(token)
            row[2 : 2 + len(kept)] = self.vocabulary.encode_symbols(kept, unknown="symbol")
        return rows

    def _kept(self, token: str) -> str:
        if len(token) <= self.characters:
            return token
        last = self.characters // 2
        return token[: self.characters - last] + token[len(token) - last :]
