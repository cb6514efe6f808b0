"""Vectors of n-grams: the documented sum, padding without effect, and sizes that are refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import RecipeError
from treadle_train.networks.ngrams import MOST_ROWS, NgramEmbedding

V, E = 5, 3


def embedding(longest: int) -> NgramEmbedding:
    made = NgramEmbedding(V, E, longest)
    torch.manual_seed(3)
    for table in made.parameters():
        torch.nn.init.normal_(table)
    return made


def by_hand(made: NgramEmbedding, row: list[int]) -> np.ndarray:
    tables = {name: table.detach().numpy() for name, table in made.named_parameters()}
    padded = [0, *row, 0]
    answer = np.zeros((len(row), E), np.float32)
    for t, (a, b, c) in enumerate(zip(padded, padded[1:], padded[2:], strict=False)):
        answer[t] = tables["before.weight"][a * V + b] + tables["behind.weight"][b * V + c]
        if made.longest == 3:
            answer[t] += tables["around.weight"][(a * V + b) * V + c]
    return answer


@given(
    rows=st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=6), min_size=1, max_size=4),
    longest=st.sampled_from([2, 3]),
    padding=st.integers(0, V - 1),
)
def test_the_sum_is_the_documented_one_and_padding_changes_nothing(
    rows: list[list[int]], longest: int, padding: int
) -> None:
    made = embedding(longest)
    width = max(map(len, rows)) + 1
    ids = torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows])
    found = made(ids, torch.tensor(list(map(len, rows)))).detach().numpy()
    for row, vectors in zip(rows, found, strict=True):
        np.testing.assert_allclose(vectors[: len(row)], by_hand(made, row), rtol=0, atol=1e-6)


def test_new_vectors_say_nothing() -> None:
    made = NgramEmbedding(V, E, 3)
    assert not made(torch.tensor([[1, 2, 3]]), torch.tensor([3])).any()


@pytest.mark.parametrize("longest", [0, 1, 4])
def test_other_lengths_are_refused(longest: int) -> None:
    with pytest.raises(RecipeError, match=f"n-grams of 2 or 3 symbols, got {longest}"):
        NgramEmbedding(V, E, longest)


def test_n_grams_of_many_symbols_are_refused() -> None:
    with pytest.raises(RecipeError, match=rf"1,000,000,000 vectors, and {MOST_ROWS:,} is the most"):
        NgramEmbedding(1000, E, 3)
