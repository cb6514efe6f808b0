"""Delays that are bounded: what a tag may depend on, and what latency-controlled layers are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.tagged import tiny_tagger
from treadle.errors import RecipeError
from treadle.tolerances import tolerance
from treadle_train.cells import LatencyControlledStack, Stack
from treadle_train.networks import Tagger

SAME = tolerance("torch step", "float32").absolute
COUNTS = st.integers(1, 4)
LENGTHS = st.lists(st.integers(1, 11), min_size=1, max_size=4)


def network(
    chunk: int, lookahead: int, *, layers: int = 2, cell: str = "lstm", characters: int = 0
) -> Tagger:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made = Tagger(
            *(12, 4, 6, 10, layers, cell, chunk > 0, False, characters, 3, 5),
            chunk=chunk,
            lookahead=lookahead,
            alphabet=8,
        )
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(2.0)  # gates that move
    return made.eval()


def drawn(seed: int, *shape: int) -> torch.Tensor:
    """Ids of tokens: never 0, which is padding."""
    return torch.randint(1, 12, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("layers", [1, 2])
@given(chunk=st.integers(0, 4), lookahead=st.integers(0, 3), place=st.integers(0, 10), seed=COUNTS)
@settings(max_examples=15, deadline=None)
def test_a_tag_depends_on_what_the_delay_allows_and_on_all_of_it(
    layers: int, chunk: int, lookahead: int, place: int, seed: int
) -> None:
    made, lengths = network(chunk, lookahead, layers=layers), torch.tensor([11])
    x = drawn(seed, 1, 11)
    changed = x.clone()
    changed[0, place] = x[0, place] % 11 + 1
    with torch.no_grad():
        difference = made.emissions(x, lengths) - made.emissions(changed, lengths)
    moved = difference[0].abs().amax(-1) > 0
    for time in range(11):
        last = time - time % chunk + chunk - 1 + lookahead if chunk else time + lookahead
        assert last - time <= made.delay.steps
        # Float rounding may hide a change from far away, so only its place and near it must move.
        if place > last:
            assert not moved[time]
        elif time - 1 <= place:
            assert moved[time]


@pytest.mark.parametrize(("layers", "cell"), [(1, "gru"), (2, "lstm")])
@given(
    lengths=LENGTHS,
    chunk=st.integers(0, 4),
    lookahead=st.integers(0, 3),
    characters=st.sampled_from([0, 4]),
    seed=COUNTS,
)
@settings(max_examples=8, deadline=None)
def test_steps_give_what_whole_sequences_give(
    layers: int,
    cell: str,
    lengths: list[int],
    chunk: int,
    lookahead: int,
    characters: int,
    seed: int,
) -> None:
    made = network(chunk, lookahead, layers=layers, cell=cell, characters=characters)
    rows, time, counts = len(lengths), max(lengths), torch.tensor(lengths)
    x = drawn(seed, rows, time, *[7] * bool(characters))
    inside = (torch.arange(time) < counts[:, None]).reshape(rows, time, *[1] * bool(characters))
    read = torch.from_numpy(made.delay.read((x * inside).numpy()))
    steps = torch.from_numpy(made.delay.count(counts.numpy()))
    with torch.no_grad():
        whole = made.emissions(x, counts)
        every, final = made.sequence(read, steps, made.initial_state(rows))
        aligned = made.delay.aligned(every.numpy(), time)
        state, said = made.initial_state(rows), []
        for step in range(read.shape[1]):
            logits, after = made.step(read[:, step], state)
            state = {
                name: torch.where((step < steps)[:, None], after[name], state[name])
                for name in after
            }
            said.append(logits)
    stepped = made.delay.aligned(torch.stack(said, dim=1).numpy(), time)
    for row, length in enumerate(lengths):
        expected = whole[row, :length].numpy()
        assert not whole[row, length:].any()
        np.testing.assert_allclose(aligned[row, :length], expected, atol=SAME, rtol=0)
        np.testing.assert_allclose(stepped[row, :length], expected, atol=SAME, rtol=0)
    for name, value in final.items():
        torch.testing.assert_close(value, state[name], atol=SAME, rtol=0)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
@given(lengths=LENGTHS, layers=st.integers(1, 2))
@settings(max_examples=8, deadline=None)
def test_a_window_that_holds_the_whole_is_a_layer_in_both_directions(
    cell: str, lengths: list[int], layers: int
) -> None:
    torch.manual_seed(3)
    plain = Stack(5, 4, layers, cell, bidirectional=True)
    chunked = LatencyControlledStack(5, 4, layers, cell, chunk=11, lookahead=0)
    for ours, theirs in zip(chunked._layers(), plain._layers(), strict=True):
        assert theirs.reverse_cell is not None
        ours.forwards.forward_cell.load_state_dict(theirs.forward_cell.state_dict())
        ours.backwards.forward_cell.load_state_dict(theirs.reverse_cell.state_dict())
    x, counts = torch.randn(len(lengths), max(lengths), 5), torch.tensor(lengths)
    with torch.no_grad():
        expected, _ = plain.unroll(x, plain.initial_state(len(x)), counts)
        outputs, _ = chunked.unroll(x, chunked.initial_state(len(x)), counts)
    torch.testing.assert_close(outputs, expected, atol=SAME, rtol=0)


@given(lengths=LENGTHS, chunk=COUNTS, lookahead=st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_forwards_is_carried_over_chunks(lengths: list[int], chunk: int, lookahead: int) -> None:
    torch.manual_seed(3)
    chunked = LatencyControlledStack(5, 4, 1, "lstm", chunk=chunk, lookahead=lookahead)
    x, counts = torch.randn(len(lengths), max(lengths), 5), torch.tensor(lengths)
    layer = chunked._layers()[0].forwards
    with torch.no_grad():
        outputs, ends = chunked.unroll(x, chunked.initial_state(len(x)), counts)
        expected, final = layer.unroll(x, layer.initial_state(len(x)), counts)
    torch.testing.assert_close(outputs[..., :4], expected, atol=SAME, rtol=0)
    for name, value in final.items():
        torch.testing.assert_close(ends[f"0.forwards.{name}"], value, atol=SAME, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["network.lookahead=1"], "chosen together, at its end"),
        (["network.chunk=4"], "chosen together, at its end"),
        (
            ["network.crf=false", "network.lookahead=1"],
            "whole sentences, so that network",
        ),
        (
            ["network.crf=false", "network.bidirectional=false", "network.chunk=4"],
            r"network\.chunk is of layers that read backwards as well, got 4",
        ),
    ],
)
def test_a_delay_that_nothing_comes_of_is_refused(changes: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny_tagger(*changes)


def test_a_network_says_what_its_steps_read() -> None:
    assert network(3, 2, characters=4).read.shape == ("batch", 5 * 7)
    assert network(1, 0).read.shape == ("batch", 1)
    assert network(0, 2).read.shape == ("batch",)
    assert network(3, 2).graphs == network(0, 2).graphs == ("step", "sequence")
    assert network(3, 2).embedding_readers() == {}
