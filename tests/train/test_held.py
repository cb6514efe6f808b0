"""Entries that are held stay what they were, under any optimizer, and are no part of a gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle_train.modules.averaging import WeightAverage
from treadle_train.modules.held import HeldEntries


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "SGD"])
@given(rows=st.lists(st.booleans(), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_what_is_held_stays_and_the_rest_moves(kind: str, rows: list[bool], seed: int) -> None:
    torch.manual_seed(seed)
    table = torch.nn.Embedding(len(rows), 3)
    held = HeldEntries(table.weight, torch.tensor(rows)[:, None])
    with torch.no_grad():
        table.weight.normal_()  # as a checkpoint does, after the module was made
    held.take()
    before = table.weight.detach().clone()
    optimizer = getattr(torch.optim, kind)(table.parameters(), lr=0.1, weight_decay=0.3)
    average = WeightAverage(table, 0.9)
    for _ in range(3):
        optimizer.zero_grad()
        (table.weight * torch.randn(len(rows), 3)).sum().backward()  # type: ignore[no-untyped-call]
        assert table.weight.grad is not None
        assert not table.weight.grad[torch.tensor(rows)].any()
        optimizer.step()
        held.restore()
        average.update()
    for row, stays in enumerate(rows):
        assert torch.equal(table.weight[row], before[row]) == stays
        assert torch.equal(average.weights()["weight"][row], before[row]) == stays
