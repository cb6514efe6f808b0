"""A tied output layer: the embedding's matrix, stored once, and the same model as an untied one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.export.small_models import as_feeds, next_state
from treadle.ladder import compare
from treadle_export.adoption.adopt import adopt
from treadle_export.capturing.network import capture
from treadle_export.engine import Arrays, Engine
from treadle_export.passes.rewriting import constant_array
from treadle_export.passes.screen_head import Screen
from treadle_export.passes.share_transposed import ShareTransposed
from treadle_export.quantization.precision import lower, precision_named
from treadle_export.torch_modules import foreign_of
from treadle_export.weights import share_weights
from treadle_train.networks import LanguageModel

if TYPE_CHECKING:
    from treadle_export.canonical import CanonicalModel

SYMBOLS, SIZE = 41, 24

pytestmark = pytest.mark.xdist_group("tied")  # each model is captured once

ONE_TABLE: dict[str, Any] = {"float32": np.float32, "float16": np.float16, "int8": np.int8}
"""Precisions in which one matrix serves both, and the type of its numbers."""


def tied_network() -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made = LanguageModel(SYMBOLS, SIZE, SIZE, 1, "gru", tied_embedding=True)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    return made.eval()


@cache
def models() -> tuple[CanonicalModel, CanonicalModel]:
    """The tied model, and one that differs in the last bit of one number, so that it is not."""
    tied = tied_network()
    apart = LanguageModel(SYMBOLS, SIZE, SIZE, 1, "gru")
    weights = tied.embedding.weight.detach().clone()
    weights[3, 4] = torch.nextafter(weights[3, 4], torch.tensor(9.0))
    apart.load_state_dict({**tied.state_dict(), "output.weight": weights})
    return capture(tied), capture(apart.eval())


@cache
def in_precision(precision: str) -> tuple[CanonicalModel, CanonicalModel]:
    tied, apart = models()
    return lower(tied, precision_named(precision)), lower(apart, precision_named(precision))


@cache
def engine(precision: str, graph: str, *, tied: bool = True) -> Engine:
    return Engine(in_precision(precision)[0 if tied else 1].graphs[graph].model)


def stored(model: CanonicalModel) -> bytes:
    return share_weights({name: graph.model.clone() for name, graph in model.graphs.items()})


def of_the_table(model: CanonicalModel, dtype: Any) -> int:
    """Matrices of the table's size, of either orientation, in the one weight file."""
    blob = stored(model)
    kinds = set()
    for graph in model.graphs.values():
        for value in graph.model.graph.initializers.values():
            array = constant_array(value)
            if array is not None and sorted(array.shape) == sorted((SYMBOLS, SIZE)):
                assert array.dtype == dtype
                kinds.add(np.ascontiguousarray(array).tobytes())
    assert all(content in blob for content in kinds)
    return len(kinds)


@pytest.mark.parametrize("precision", ONE_TABLE)
def test_the_matrix_is_stored_once(precision: str) -> None:
    assert of_the_table(in_precision(precision)[0], ONE_TABLE[precision]) == 1


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_weight_file_is_smaller_by_the_matrix(precision: str) -> None:
    tied, apart = in_precision(precision)
    saved = len(stored(apart)) - len(stored(tied))
    matrix = SYMBOLS * SIZE * np.dtype(ONE_TABLE[precision]).itemsize
    assert saved >= matrix - 64  # what alignment may take back


def test_a_head_of_4_bits_and_its_table_of_8_are_two_matrices() -> None:
    tied, _ = in_precision("int4")
    names = {name for graph in tied.graphs.values() for name in graph.model.graph.initializers}
    assert {
        "network.embedding.weight.int8",
        "network.embedding.weight.transposed.unpacked.levels",
    } <= names


def sequence_feeds(seed: int, rows: int, steps: int) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        "token": random.integers(0, SYMBOLS, (rows, steps)),
        "lengths": random.integers(1, steps + 1, rows),
        "state.recurrent.0.hidden": random.uniform(-1, 1, (rows, SIZE)).astype(np.float32),
    }


@pytest.mark.parametrize("graph", ["step", "sequence"])
def test_it_is_the_model_that_holds_its_matrix_twice(graph: str) -> None:
    feeds = graph_feeds(graph)
    expected = Engine(models()[0].graphs[graph].model).run(feeds)
    actual = engine("float32", graph).run(feeds)
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


@pytest.mark.parametrize("graph", ["step", "sequence"])
def test_int8_is_near_the_untied_model(graph: str) -> None:
    """The untied table has eight bits, and a tied one the seven of weights."""
    feeds = graph_feeds(graph)
    expected = engine("int8", graph, tied=False).run(feeds)
    actual = engine("int8", graph).run(feeds)
    rung = compare("quantized", "int8", outputs=[(expected["logits"], actual["logits"])])
    assert rung.passed, rung


def graph_feeds(graph: str) -> Arrays:
    feeds = sequence_feeds(1, 6, 9)
    return feeds | ({"token": feeds["token"][:, 0]} if graph == "step" else {})


def test_the_integers_of_the_product_are_those_of_the_untied_head() -> None:
    tied, apart = (graphs.graphs["step"].model.graph for graphs in in_precision("int8"))
    head = constant_array(apart.initializers["network.output.weight.transposed.int8"])
    table = constant_array(tied.initializers["network.embedding.weight.int8"])
    assert head is not None
    assert table is not None
    np.testing.assert_array_equal(table.T, head)
    assert int(np.abs(table.astype(np.int16)).max()) == 63


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 7), st.integers(1, 20))
def test_int8_rows_and_steps_do_not_feel_each_other(seed: int, rows: int, steps: int) -> None:
    feeds = sequence_feeds(seed, rows, steps)
    together = engine("int8", "sequence").run(feeds)
    for row in range(rows):
        state = {"recurrent.0.hidden": feeds["state.recurrent.0.hidden"][row : row + 1]}
        for step in range(int(feeds["lengths"][row])):
            token = feeds["token"][row : row + 1, step]
            made = engine("int8", "step").run({"token": token, **as_feeds(state)})
            np.testing.assert_array_equal(made["logits"][0], together["logits"][row, step])
            state = next_state(made)
        for name, array in state.items():
            np.testing.assert_array_equal(array[0], together[f"next_state.{name}"][row])


def test_a_float32_bundle_is_quantized_from_its_one_matrix() -> None:
    """As `requantize` does: what it reads is a table, and a product with its Transpose."""
    tied, _ = models()
    shared = tied.rewritten(lambda _, graph: ShareTransposed()(graph).model)
    assert of_the_table(shared, np.float32) == 1
    again = lower(shared, precision_named("int8"))
    assert stored(again) == stored(in_precision("int8")[0])


def test_the_rows_that_a_screened_head_rescores_are_the_table() -> None:
    whole, screened = (
        lower(models()[0], precision_named("int8"), screen=screen)
        for screen in (None, Screen("embedding", 2, "int8"))
    )
    estimates = SYMBOLS * (64 + 4)  # levels of 4 bits in one block of 128, and its scale
    assert len(stored(screened)) - len(stored(whole)) <= estimates + 4 * 64


class Adopted(nn.Module):
    """A module of a user's whose two layers have one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, SIZE)
        self.rnn = nn.LSTM(SIZE, SIZE, batch_first=True)
        self.output = nn.Linear(SIZE, SYMBOLS)
        self.output.weight = self.embedding.weight

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        y, _ = self.rnn(self.embedding(token))
        logits: torch.Tensor = self.output(y)
        return logits


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_tied_module_of_the_user_is_stored_once(precision: str) -> None:
    model = lower(adopted(), precision_named(precision))
    assert of_the_table(model, np.float32 if precision == "float32" else np.int8) == 1


@cache
def adopted() -> CanonicalModel:
    foreign = foreign_of(Adopted().eval(), (torch.tensor([[1, 2, 3]]),), name="tied")
    return adopt(foreign).canonical
