"""What stands between layers: dropout with one mask a sequence, normalization, what is added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tests.train.tiny import TEXT, TINY_CHARACTERS
from treadle.errors import RecipeError
from treadle_train.catalogue import load_recipe
from treadle_train.cells import CELLS, Stack
from treadle_train.cells.dropout import VariationalDropout, make_dropout
from treadle_train.networks import Classifier, Forecaster, LanguageModel, Tagger, Transducer
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS: list[dict[str, Any]] = [{"residual": True}, {"layer_norm": True}]
OPTIONS.append(OPTIONS[0] | OPTIONS[1])


@given(
    batch=st.integers(1, 4),
    time=st.integers(1, 6),
    features=st.integers(1, 9),
    rate=st.sampled_from([0.2, 0.5, 0.8]),
)
def test_one_mask_serves_all_steps_of_a_row(
    batch: int, time: int, features: int, rate: float
) -> None:
    x = torch.rand(batch, time, features) + 1
    factor = VariationalDropout(rate)(x) / x
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    kept = factor[factor != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rate)))


def test_rows_have_masks_of_their_own_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    dropped = VariationalDropout(0.25)(torch.ones(200, 3, 50))
    assert not torch.equal(dropped[0], dropped[1])
    assert abs(dropped.mean().item() - 1) < 0.02


def test_neither_evaluation_nor_a_rate_of_zero_changes_anything() -> None:
    x, before = torch.randn(2, 3, 4), torch.get_rng_state()
    assert VariationalDropout(0.0)(x) is x
    assert VariationalDropout(0.5).eval()(x) is x
    assert torch.equal(before, torch.get_rng_state())
    assert isinstance(make_dropout(0.3, variational=False), torch.nn.Dropout)


@pytest.mark.parametrize("kind", ["language model", "transducer"])
def test_networks_drop_inputs_outputs_and_what_lies_between(kind: str) -> None:
    token = torch.zeros(2, 5, dtype=torch.int64)
    seen: list[torch.Tensor] = []
    network: LanguageModel | Transducer
    if kind == "language model":
        network = LanguageModel(7, 4, 6, 2, dropout=0.5, variational_dropout=True)
        places = [network.dropout, network.recurrent.dropout]
    else:
        network = Transducer(7, 7, 4, 6, 2, 2, dropout=0.5, variational_dropout=True)
        places = [network.embedding_dropout[1], network.encoder.dropout]
        places += [network.decoder.dropout, network.dropout]

    def noted(_module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        seen.append(torch.where(inputs[0] == 0, torch.nan, output / inputs[0]))

    for place in places:
        place.register_forward_hook(noted)
    if isinstance(network, LanguageModel):
        network.sequence(token, None, network.initial_state(2))
    else:
        context, state = network.encode(token, torch.full((2,), 5))
        network.sequence(token, None, network.initial_state(2) | state, context)
    assert len(seen) == {"language model": 3, "transducer": 5}[kind]
    for factor in seen:
        torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_stack_is_what_its_equation_says(
    cell: str, bidirectional: bool, options: dict[str, Any]
) -> None:
    stack = Stack(3, 4, 3, cell, bidirectional, **options).eval()
    for norm in stack.norms.children():
        for parameter in norm.parameters():
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    x, lengths = torch.randn(3, 5, 3), torch.tensor([5, 2, 0])
    state = stack.initial_state(3)
    outputs, end = stack.unroll(x, state, lengths)
    expected = x
    for index, layer in enumerate(stack.layers):
        read = expected
        if index and options.get("layer_norm"):
            norm = stack.norms[index - 1]
            read = functional.layer_norm(read, read.shape[-1:], norm.weight, norm.bias)  # type: ignore[arg-type]
        part = {n.partition(".")[2]: v for n, v in state.items() if n.startswith(f"{index}.")}
        output, _ = layer.unroll(read, part, lengths)  # type: ignore[operator]
        expected = output + expected if index and options.get("residual") else output
    torch.testing.assert_close(outputs, expected)
    assert list(end) == list(state)
    assert not outputs[1, 2:].any()  # padding stays zero


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_stepping_is_unrolling(cell: str, options: dict[str, Any]) -> None:
    stack = Stack(3, 4, 3, cell, **options).eval()
    x = torch.randn(2, 6, 3)
    outputs, _ = stack.unroll(x, stack.initial_state(2))
    state, stepped = stack.initial_state(2), []
    for column in x.unbind(1):
        output, state = stack.step(column, state)
        stepped.append(output)
    torch.testing.assert_close(torch.stack(stepped, 1), outputs)


def test_what_is_off_leaves_weights_and_names_as_they_were() -> None:
    stacks = []
    for options in ({}, {"residual": False, "layer_norm": False, "forget_bias": 0.0}):
        torch.manual_seed(1)
        stacks.append(Stack(3, 4, 2, "lstm", **options).state_dict())  # type: ignore[arg-type]
    assert list(stacks[0]) == list(stacks[1])
    assert not any("norm" in name for name in stacks[0])
    assert all(torch.equal(stacks[0][name], stacks[1][name]) for name in stacks[0])


def test_the_forget_gate_starts_open_and_all_else_as_ever() -> None:
    stacks = []
    for bias in (0.0, 2.0):
        torch.manual_seed(1)
        stacks.append(Stack(3, 4, 2, "lstm", True, forget_bias=bias).state_dict())
    for name, plain in stacks[0].items():
        moved = stacks[1][name].clone()
        if name.endswith("_bias"):
            assert moved[4:8].tolist() == [2.0 if "input" in name else 0.0] * 4
            moved[4:8] = plain[4:8]
        assert torch.equal(moved, plain)


@pytest.mark.parametrize("kind", ["classifier", "tagger", "forecaster"])
def test_networks_of_every_task_hand_the_keys_on(kind: str) -> None:
    """One mask a sequence wherever something is dropped; the rest is the stack's."""
    keys: dict[str, Any] = {"variational_dropout": True, "residual": True, "layer_norm": True}
    keys |= {"forget_bias": 1.5, "dropout": 0.5, "layers": 2, "cell": "lstm", "hidden_size": 6}
    network: Classifier | Tagger | Forecaster
    if kind == "classifier":
        network = Classifier(7, 3, 4, bidirectional=True, embedding_dropout=0.5, **keys)
        masks = [network.embedding_dropout]
    elif kind == "tagger":
        network = Tagger(7, 3, 4, bidirectional=True, embedding_dropout=0.5, **keys)
        masks = [network.embedding_dropout, network.dropout]
    else:
        network = Forecaster(2, 0, 3, **keys)
        masks = [network.dropout]
    stack = network.recurrent
    assert isinstance(stack, Stack)
    for mask in [*masks, stack.dropout]:
        assert isinstance(mask, VariationalDropout)
        assert mask.rate == 0.5
    assert stack.residual
    assert isinstance(stack.norms[0], torch.nn.LayerNorm)
    biases = {n: p for n, p in stack.named_parameters() if n.endswith("input_bias")}
    units = 6 if kind == "forecaster" else 3
    assert len(biases) == (2 if kind == "forecaster" else 4)
    for bias in biases.values():
        assert bias[units : 2 * units].tolist() == [1.5] * units


@pytest.mark.parametrize(
    "recipe", ["characters", "pronounce-en", "sentiment", "tag-pos", "forecast-transformer"]
)
def test_a_forget_bias_without_a_forget_gate_is_refused(recipe: str) -> None:
    load_recipe(recipe, ["network.cell=lstm", "network.forget_bias=1"])
    with pytest.raises(RecipeError, match=r"the cell 'gru' has none; set network\.cell"):
        load_recipe(recipe, ["network.cell=gru", "network.forget_bias=1"])


def test_windows_have_none_of_it() -> None:
    with pytest.raises(RecipeError, match=r"network\.residual is of layers that read whole"):
        load_recipe("tag-pos", ["network.chunk=4", "network.residual=true"])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_deep_network_with_everything_learns(cell: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    changes = [
        *TINY_CHARACTERS,
        f"data.options.path={text}",
        *(f"network.{key}=true" for key in ("variational_dropout", "residual", "layer_norm")),
        f"network.cell={cell}",
        "network.layers=3",
        "network.dropout=0.2",
        "training.learning_rate=0.02",
    ]
    run = train(load_recipe("characters", changes), tmp_path / "run", progress="none")
    losses = [row["validation_loss"] for row in run.history]
    assert losses[-1] < losses[0] - 0.2
