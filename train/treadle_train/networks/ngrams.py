"""Vectors of neighbouring symbols, beside those of single ones.

Notation: B batch, T time, V vocabulary size, E embedding size.
"""

import torch
from torch import Tensor, nn

from treadle.errors import RecipeError
from treadle_train.cells.ragged import valid_positions

LONGEST = 3
MOST_ROWS = 65_536
"""Of one table: it has a row for each n-gram that could be, so n-grams are for alphabets."""


class NgramEmbedding(nn.Module):
    """What the symbols around one say of it, to be added to its own vector.

        e_t = L[x_{t-1}, x_t] + R[x_t, x_{t+1}]    and, up to 3,    + M[x_{t-1}, x_t, x_{t+1}]

    Before the first symbol of a row and behind its last one stands padding, id 0. All vectors begin
    as zeros, so that rare n-grams say little. They cost a lookup, where a wider layer costs
    products; language models learn beside n-grams in this way in Mikolov, Deoras, Povey, Burget &
    Cernocky, "Strategies for training large scale neural network language models", 2011.

    Raises RecipeError for an n that is not 2 or 3, and where V**n is above MOST_ROWS.
    """

    def __init__(self, vocabulary_size: int, embedding_size: int, longest: int) -> None:
        super().__init__()
        if not 2 <= longest <= LONGEST:
            raise RecipeError(f"expected n-grams of 2 or {LONGEST} symbols, got {longest}")
        rows = vocabulary_size**longest
        if rows > MOST_ROWS:
            raise RecipeError(
                f"n-grams of {longest} out of {vocabulary_size} symbols need {rows:,} vectors, "
                f"and {MOST_ROWS:,} is the most: take fewer symbols or shorter n-grams."
            )
        self.vocabulary_size, self.longest = vocabulary_size, longest
        self.before = _zeros(vocabulary_size**2, embedding_size)
        self.behind = _zeros(vocabulary_size**2, embedding_size)
        self.around = _zeros(rows, embedding_size) if longest == LONGEST else None

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Ids int64 [B, T] of rows of `lengths` int64 [B], to vectors float32 [B, T, E]."""
        inside = torch.where(valid_positions(lengths, ids.shape[1]), ids, 0)
        edge = torch.zeros_like(inside[:, :1])
        previous = torch.cat([edge, inside[:, :-1]], dim=1)
        following = torch.cat([inside[:, 1:], edge], dim=1)
        pair = previous * self.vocabulary_size + inside
        vectors: Tensor = self.before(pair) + self.behind(inside * self.vocabulary_size + following)
        if self.around is not None:
            vectors = vectors + self.around(pair * self.vocabulary_size + following)
        return vectors

    def extra_repr(self) -> str:
        """How long n-grams get, for printing."""
        return f"longest={self.longest}"


def _zeros(rows: int, size: int) -> nn.Embedding:
    return nn.Embedding(rows, size, _weight=torch.zeros(rows, size))
