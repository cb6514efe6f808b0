"""How far back a loss reaches: against numbers known by hand, and cell against cell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.train.resuming import characters
from tests.train.tiny import tiny_transducer
from treadle.errors import InputError
from treadle_train.catalogue import load_recipe
from treadle_train.cells import CELLS, Elman, Layer
from treadle_train.gradient_flow.command import gradients
from treadle_train.gradient_flow.copy_task import CopyTask, last_loss, learn
from treadle_train.gradient_flow.flow import Flow, gradient_flow
from treadle_train.gradient_flow.watching import WatchedLayer
from treadle_train.networks import LanguageModel, Network
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

LAG = 20


def flow_of(network: LanguageModel, task: CopyTask) -> Flow:
    inputs, answers = task.batch(64, torch.Generator().manual_seed(99))

    def loss(watched: Network) -> torch.Tensor:
        assert isinstance(watched, LanguageModel)
        return last_loss(watched, inputs, answers)

    (flow,) = gradient_flow(network, loss)
    return flow


def new_network(cell: str, forget_bias: float = 0.0) -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        size = CopyTask(LAG).vocabulary_size
        return LanguageModel(size, 8, 24, cell=cell, forget_bias=forget_bias)


@given(
    name=st.sampled_from(sorted(CELLS)),
    batch=st.integers(1, 3),
    time=st.integers(1, 5),
    bidirectional=st.booleans(),
)
def test_a_watched_layer_computes_what_the_layer_does(
    name: str, batch: int, time: int, bidirectional: bool
) -> None:
    layer = Layer(3, 4, name, bidirectional)
    x = torch.randn(batch, time, 3)
    state = {n: torch.rand_like(v) for n, v in layer.initial_state(batch).items()}
    expected, ends = layer.unroll(x, state)
    watched = WatchedLayer(layer)
    outputs, found = watched.unroll(x, state, torch.full((batch,), time))
    torch.testing.assert_close(outputs, expected)
    assert found.keys() == ends.keys()
    for part in ends:
        torch.testing.assert_close(found[part], ends[part])
    assert all(len(steps) == time for steps in watched.states.values())


def test_rows_of_several_lengths_are_refused() -> None:
    layer = WatchedLayer(Layer(3, 4))
    with pytest.raises(InputError, match="rows of one length"):
        layer.unroll(torch.zeros(2, 3, 3), layer.initial_state(2), torch.tensor([3, 1]))


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [
        (0.5, f"vanishes: after {LAG} steps 9.5e-07 of it is left"),
        (1.0, f"carries: after {LAG} steps 1 of it is left"),
        (1.5, f"explodes: after {LAG} steps it is 3.3e+03 times as large"),
    ],
)
def test_a_recurrence_that_multiplies_is_measured_exactly(factor: float, verdict: str) -> None:
    network = new_network("elman-relu")
    cell = network.recurrent.layers[0].forward_cell
    assert isinstance(cell, Elman)
    with torch.no_grad():
        cell.recurrent_weights.copy_(factor * torch.eye(24))
        cell.input_bias.fill_(10.0)  # no unit is ever off
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flow = flow_of(network, CopyTask(LAG))
    assert flow.layer == "recurrent.0"
    assert flow.left == pytest.approx([factor**k for k in range(LAG + 1)], rel=1e-5)
    assert flow.verdict == verdict
    assert flow.reach == {0.5: 6, 1.0: LAG, 1.5: LAG}[factor]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert isinstance(network.recurrent.layers[0], Layer)
    assert network.training


def test_a_layer_that_the_loss_does_not_see_gets_nothing() -> None:
    assert Flow("x", (0.0, 0.0)).verdict.startswith("nothing arrives")
    assert Flow("x", (0.0, 0.0)).left == (0.0, 0.0)
    assert Flow("x", (2.0,)).verdict == "carries: after 0 steps 1 of it is left"


def test_gates_carry_further_than_elman() -> None:
    """A new LSTM whose forget gate is open, and a GRU that has learnt to remember.

    Measured over seeds: Elman keeps below 1e-5, the others 0.2 and more.
    """
    task = CopyTask(LAG)
    elman, gru, lstm = new_network("elman"), new_network("gru"), new_network("lstm", 3.0)
    new = {"elman": flow_of(elman, task), "lstm": flow_of(lstm, task)}
    assert new["lstm"].left[-1] > 1000 * new["elman"].left[-1]
    assert new["lstm"].reach == LAG > 2 * new["elman"].reach
    losses = {name: learn(n, task, steps=150) for name, n in (("elman", elman), ("gru", gru))}
    assert losses["gru"] < 0.3 < 1 < losses["elman"]
    trained = {"elman": flow_of(elman, task), "gru": flow_of(gru, task)}
    assert trained["gru"].left[-1] > 1000 * trained["elman"].left[-1]
    assert trained["elman"].verdict.startswith("vanishes")
    assert trained["gru"].verdict.startswith("carries")


def test_the_command_tells_of_a_language_model(tmp_path: Path) -> None:
    recipe = load_recipe("characters", characters(tmp_path, "training.epochs=1"))
    train(recipe, tmp_path / "run", progress="none")
    out = tmp_path / "report"
    result = CliRunner().invoke(gradients, [str(tmp_path / "run"), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document == json.loads((out / "gradients.json").read_text())
    (layer,) = document["layers"]
    assert layer["layer"] == "recurrent.0"
    assert len(layer["norms"]) == 8  # as many steps as a batch of its training
    assert document["rows"] == 4
    assert (out / "gradients.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("attention", ["general", "fixed"])
@pytest.mark.usefixtures("tiny_data")
def test_the_command_tells_of_every_layer_of_a_transducer(attention: str, tmp_path: Path) -> None:
    recipe = tiny_transducer("training.epochs=1", f"network.attention={attention}")
    train(recipe, tmp_path / "run", progress="none")
    result = CliRunner().invoke(gradients, [str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    told = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    named = ["encoder.0", "encoder.0.reverse", "encoder.1", "encoder.1.reverse", "decoder.0"]
    assert [name.strip() for name in told] == named
    assert all(": " in verdict for verdict in told.values())
