"""Scheduled sampling: which inputs are the decoder's own, how many, and that no more changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.train.tiny import tiny_transducer
from treadle_train.batching.bucketed import Pairs
from treadle_train.greedy import decode_greedily
from treadle_train.modules import transduction
from treadle_train.modules.scheduled_sampling import own_inputs
from treadle_train.networks import Transducer
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from treadle_train.batching.bucketed import PairBatch

START, END = 1, 2


def network(attention: str) -> Transducer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made = Transducer(
            7, 9, 4, 6, attention=attention, dropout=0.5, variational_dropout=attention == "dot"
        )
    for parameter in made.parameters():
        parameter.data.mul_(3)  # so that what it answers depends on what it has read
    return made


def batch(rows: int, time: int) -> PairBatch:
    draw = torch.Generator().manual_seed(rows * 100 + time)
    sources = [torch.randint(2, 7, (1 + k,), generator=draw).tolist() for k in range(rows)]
    targets = [torch.randint(3, 9, (time,), generator=draw).tolist() for _ in range(rows)]
    pairs = Pairs.of(sources, targets, start=START, end=END)
    return pairs.batch(torch.arange(rows).numpy())


@pytest.mark.parametrize("attention", ["general", "additive", "dot", "fixed"])
def test_a_share_of_one_is_greedy_decoding(attention: str) -> None:
    made, given_batch = network(attention), batch(5, 12)
    inputs = own_inputs(made, given_batch, 1.0)
    assert made.training
    assert inputs[:, 0].tolist() == [START] * 5
    source, lengths = given_batch.source, given_batch.source_lengths
    decoded = decode_greedily(made.eval(), source, lengths, START, END, 12)
    for row, ids in zip(inputs.tolist(), decoded, strict=True):
        assert row[1 : 1 + len(ids)] == ids
    assert not torch.equal(inputs, given_batch.inputs)


@given(
    rows=st.integers(1, 4), time=st.integers(1, 8), share=st.floats(0, 1), seed=st.integers(0, 99)
)
def test_what_is_not_replaced_stays_and_the_rest_is_what_it_would_say(
    rows: int, time: int, share: float, seed: int
) -> None:
    made, given_batch = network("general"), batch(rows, time)
    torch.manual_seed(seed)
    inputs = own_inputs(made, given_batch, share)
    torch.manual_seed(seed)
    own = torch.rand(given_batch.inputs.shape) < share
    own[:, 0] = False
    assert torch.equal(inputs[~own], given_batch.inputs[~own])
    made.eval()
    context, state = made.encode(given_batch.source, given_batch.source_lengths)
    logits, _ = made.sequence(inputs, None, made.initial_state(rows) | state, context)
    said = torch.cat([given_batch.inputs[:, :1], logits.argmax(-1)[:, :-1]], dim=1)
    assert torch.equal(inputs[own], said[own])


@pytest.mark.usefixtures("tiny_data")
def test_the_share_rises_along_a_line_and_validation_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []

    def noted(made: Transducer, given_batch: PairBatch, share: float) -> Any:
        assert made.training
        shares.append(share)
        return own_inputs(made, given_batch, share)

    monkeypatch.setattr(transduction, "own_inputs", noted)
    recipe = tiny_transducer("training.scheduled_sampling=0.6")
    run = train(recipe, tmp_path / "run", progress="none")
    total = int(run.history[-1]["step"])
    assert shares == pytest.approx([0.6 * step / total for step in range(total)])
