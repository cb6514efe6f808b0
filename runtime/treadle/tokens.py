"""Tokens of a sentence to ids, for a model that tags them; training and the device share this."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.vocabulary import Vocabulary


def normalized(tokens: Sequence[str], *, lowercase: bool) -> list[str]:
    """The tokens as a vocabulary has them."""
    return [token.lower() if lowercase else token for token in tokens]


def token_ids(tokens: Sequence[str], vocabulary: Vocabulary, *, lowercase: bool) -> list[int]:
    """An id for each token, as it is given: it is not split. Tokens are never all known.

    One that the vocabulary does not have is its unknown symbol. Raises InputError where there is
    none.
    """
    return vocabulary.encode_symbols(normalized(tokens, lowercase=lowercase), unknown="symbol")
