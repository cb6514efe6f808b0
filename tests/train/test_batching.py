"""Batches: every example once, in an order that seed and epoch decide, from any batch on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from treadle_train.batching.bucketed import IGNORED, BucketedBatches, Pairs
from treadle_train.batching.lanes import LaneBatches
from treadle_train.batching.order import with_unknowns


def pairs(count: int) -> Pairs:
    """Pair k has the number k in its target, so that it can be found again."""
    return Pairs.of(
        [[3] * (1 + k % 7) for k in range(count)], [[10 + k] for k in range(count)], start=1, end=2
    )


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 4), st.integers(0, 99))
def test_an_epoch_has_every_pair_once(count: int, size: int, window: int, seed: int) -> None:
    batches = list(BucketedBatches(pairs(count), size, window, seed, epoch=0))
    seen = [int(target) for batch in batches for target in batch.targets[:, 0]]
    assert sorted(seen) == [10 + k for k in range(count)]
    assert len(batches) == -(-count // size)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    base = BucketedBatches(pairs(40), 4, 0, seed=3, epoch=2, unknown_rate=0.3, unknown=2)

    def order(batches: BucketedBatches) -> list[list[int]]:
        return [batch.targets[:, 0].tolist() for batch in batches]

    assert order(base) == order(base)
    assert order(base) != order(replace(base, epoch=3))
    assert order(base) != order(replace(base, seed=4))


@given(st.integers(0, 10))
def test_an_epoch_can_start_at_any_batch(first: int) -> None:
    whole = BucketedBatches(pairs(40), 4, 3, seed=3, epoch=2, unknown_rate=0.3, unknown=2)
    rest = replace(whole, first=first)
    assert len(rest) == len(whole) - first
    for a, b in zip(list(whole)[first:], rest, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_rows_of_a_batch_are_of_similar_length_and_padded_to_the_longest() -> None:
    batches = list(BucketedBatches(pairs(70), 10, 0, seed=0, epoch=0))
    for batch in batches:
        assert batch.source.shape[1] == int(batch.source_lengths.max())
        assert batch.source_lengths.min() == batch.source_lengths.max()  # 10 of each length


def test_targets_are_the_inputs_one_symbol_later_and_padding_is_ignored() -> None:
    made = Pairs.of([[3], [3, 4]], [[5, 6], [7]], start=1, end=2).batch(np.array([0, 1]))
    assert made.source.tolist() == [[3, 0], [3, 4]]
    assert made.inputs.tolist() == [[1, 5, 6], [1, 7, 0]]
    assert made.targets.tolist() == [[5, 6, 2], [7, 2, IGNORED]]


@given(st.integers(2, 400), st.integers(1, 9), st.integers(1, 20), st.integers(0, 3))
def test_lanes_run_on_from_batch_to_batch(length: int, size: int, steps: int, epoch: int) -> None:
    text = np.arange(length, dtype=np.int64)
    batches = list(LaneBatches(text, size, steps, seed=1, epoch=epoch))
    assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)
    assert len(batches) == len(LaneBatches(text, size, steps, seed=1, epoch=epoch + 1))
    whole = torch.cat([batch.inputs for batch in batches], dim=1)
    assert torch.equal(whole[:, 1:], whole[:, :-1] + 1)
    assert len(set(whole.flatten().tolist())) == whole.numel()
    for batch in batches:
        assert torch.equal(batch.targets, batch.inputs + 1)


def test_lanes_can_start_at_any_batch_and_move_between_epochs() -> None:
    text = np.arange(500, dtype=np.int64)
    whole = LaneBatches(text, 4, 8, seed=1, epoch=0, unknown_rate=0.2, unknown=0)
    for a, b in zip(list(whole)[5:], replace(whole, first=5), strict=True):
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.targets, b.targets)
    starts = {int(next(iter(replace(whole, epoch=k))).targets[0, 0]) for k in range(6)}
    assert len(starts) > 1


def test_unknowns_replace_their_share() -> None:
    ids = torch.full((100, 100), 7)
    hit = with_unknowns(ids, 0.1, 2, draw=5)
    share = float((hit == 2).double().mean())
    assert 0.08 < share < 0.12
    assert torch.equal(hit, with_unknowns(ids, 0.1, 2, draw=5))
    assert torch.equal(with_unknowns(ids, 0.0, 2, draw=5), ids)
