"""Networks: step = sequence, padding and company change nothing, attention as its equations say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from treadle.errors import RecipeError
from treadle.tolerances import tolerance
from treadle_train.networks import LanguageModel, Transducer

SAME = tolerance("torch step", "float32").absolute
EQUATIONS = tolerance("equations", "float32").absolute
KINDS = ("dot", "general", "additive", "fixed")


def transducer(kind: str, cell: str = "lstm", decoder_layers: int = 1) -> Transducer:
    torch.manual_seed(5)
    network = Transducer(9, 7, 6, 8, 2, decoder_layers, cell, attention=kind, dropout=0.5)
    return network.eval()


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 2), ("gru-reset-before", 1)])
def test_transducer_steps_as_it_decodes_sequences(kind: str, cell: str, layers: int) -> None:
    network = transducer(kind, cell, layers)
    source, lengths = torch.randint(9, (3, 6)), torch.tensor([6, 1, 4])
    context, initial = network.encode(source, lengths)
    state = network.initial_state(3) | initial
    assert set(initial) <= set(network.initial_state(3))
    token, target_lengths = torch.randint(7, (3, 5)), torch.tensor([5, 2, 0])
    logits, end = network.sequence(token, target_lengths, state, context)
    for row, length in enumerate([5, 2, 0]):
        alone = {name: value[row : row + 1] for name, value in state.items()}
        parts = {name: value[row : row + 1] for name, value in context.items()}
        for t in range(length):
            output, alone = network.step(token[row : row + 1, t], alone, parts)
            assert difference(output[0], logits[row, t]) <= SAME, f"first at step {t}"
        assert not logits[row, length:].any()
        assert all(difference(alone[name][0], end[name][row]) <= SAME for name in end)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_of_the_source_changes_nothing(kind: str) -> None:
    network = transducer(kind)
    source = torch.randint(1, 9, (1, 5))
    token = torch.randint(7, (1, 4))
    results = []
    for width in (5, 16):
        padded = torch.cat([source, torch.zeros(1, width - 5, dtype=torch.int64)], 1)
        context, initial = network.encode(padded, torch.tensor([5]))
        state = network.initial_state(1) | initial
        results.append(network.sequence(token, None, state, context)[0])
    assert difference(*results) <= SAME


def test_language_model_steps_as_it_decodes_sequences() -> None:
    torch.manual_seed(6)
    network = LanguageModel(9, 6, 8, layers=2, cell="gru").eval()
    token, lengths = torch.randint(9, (2, 6)), torch.tensor([6, 3])
    state = network.initial_state(2)
    assert list(state) == ["recurrent.0.hidden", "recurrent.1.hidden"]
    logits, end = network.sequence(token, lengths, state)
    for t in range(6):
        output, state = network.step(token[:, t], state)
        assert difference(output[0], logits[0, t]) <= SAME, f"first at step {t}"
        if t == 2:
            assert difference(state["recurrent.1.hidden"][1], end["recurrent.1.hidden"][1]) <= SAME
    assert not logits[1, 3:].any()


@pytest.mark.parametrize("kind", ["dot", "general", "additive"])
def test_attention_is_the_documented_equation(kind: str) -> None:
    network = transducer(kind)
    attention = network.attention
    assert attention is not None
    weights = {n: p.detach().double().numpy() for n, p in attention.named_parameters()}
    memory, hidden = torch.randn(1, 4, 8), torch.randn(1, 1, 8)
    got = attention(hidden, attention.context(memory, torch.tensor([3])))[0, 0]
    m, h = memory[0, :3].double().numpy(), hidden[0, 0].double().numpy()
    if kind == "dot":
        scores = m @ h
    elif kind == "general":
        scores = m @ weights["keys.weight"].T @ h
    else:
        query = weights["query.weight"] @ h + weights["query.bias"]
        scores = np.tanh(query + m @ weights["keys.weight"].T) @ weights["energy.weight"][0]
    share = np.exp(scores - scores.max())
    summed = (share / share.sum()) @ m  # the mean of the memory, before its projection
    mixed = weights["mix.weight"] @ h + weights["mix.bias"] + weights["values.weight"] @ summed
    assert np.abs(got.detach().numpy() - np.tanh(mixed)).max() <= EQUATIONS


def test_fixed_summary_starts_the_decoder_from_both_ends_of_the_source() -> None:
    network = transducer("fixed")
    context, initial = network.encode(torch.randint(9, (2, 6)), torch.tensor([6, 3]))
    assert list(context) == ["summary"]
    assert list(initial) == ["decoder.0.hidden"]
    assert context["summary"].shape == initial["decoder.0.hidden"].shape == (2, 8)


def test_impossible_sizes_and_names_are_errors() -> None:
    with pytest.raises(RecipeError, match=r"no attention 'generel'; did you mean 'general'\?"):
        Transducer(9, 7, 6, 8, attention="generel")
    with pytest.raises(RecipeError, match="choose an even number"):
        Transducer(9, 7, 6, 9)


@pytest.mark.parametrize("tied", [False, True])
def test_a_language_model_begins_with_small_logits(tied: bool) -> None:
    """Whether its output layer is its own or the embedding's: the first loss is near log V."""
    torch.manual_seed(2)
    network = LanguageModel(50, 64, 64, tied_embedding=tied).eval()
    assert ("output.weight" in network.state_dict()) is not tied
    with torch.no_grad():
        logits, _ = network.sequence(torch.randint(50, (4, 9)), None, network.initial_state(4))
        nats = -torch.log_softmax(logits, -1).mean()
    assert abs(float(nats) - np.log(50)) < 0.1


def test_a_tied_matrix_learns_from_both_of_its_uses() -> None:
    network = LanguageModel(11, 6, 6, tied_embedding=True)
    token = torch.tensor([[3, 3]])
    logits, _ = network.sequence(token, None, network.initial_state(1))
    torch.autograd.backward(logits.sum())
    gradient = network.embedding.weight.grad
    assert gradient is not None
    assert bool((gradient.abs().sum(-1) > 0).all())  # through the output, also symbols not read
    with pytest.raises(RecipeError, match="got 5 and 6"):
        LanguageModel(11, 5, 6, tied_embedding=True)
