"""Cells: the documented equations in numpy; step = unroll = a row alone = torch's modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from treadle.errors import InputError, RecipeError
from treadle.tolerances import tolerance
from treadle_train.cells import CELLS, GRU, LSTM, Elman, Layer, Stack, make_cell

SAME = tolerance("torch step", "float32").absolute
EQUATIONS = tolerance("equations", "float32").absolute


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def equations(name: str, cell: Any, x: Any, state: list[Any]) -> list[Any]:
    """The next state [B, H] in float64, written from the literature, not from the code."""
    w, r, b, c = (p.detach().numpy().astype(np.float64) for p in cell.fused_parameters())
    hidden, size = state[0], cell.hidden_size
    read, recurrent = x @ w.T + b, hidden @ r.T + c
    if name.startswith("elman"):
        total = read + recurrent
        return [np.tanh(total) if name == "elman" else np.maximum(total, 0)]
    if name.startswith("lstm"):
        i, f, g, o = np.split(read + recurrent, 4, axis=1)
        p_i, p_f, p_o = np.zeros((3, size))
        if name == "lstm-peephole":
            p_i, p_f, p_o = np.split(cell.peepholes.detach().numpy().astype(np.float64), 3)
        kept = sigmoid(f + p_f * state[1]) * state[1] + sigmoid(i + p_i * state[1]) * np.tanh(g)
        return [sigmoid(o + p_o * kept) * np.tanh(kept), kept]
    reset = sigmoid((read + recurrent)[:, :size])
    update = sigmoid((read + recurrent)[:, size : 2 * size])
    if name == "gru":
        candidate = np.tanh(read[:, 2 * size :] + reset * recurrent[:, 2 * size :])
    else:
        candidate = np.tanh(
            read[:, 2 * size :] + (reset * hidden) @ r[2 * size :].T + c[2 * size :]
        )
    return [(1 - update) * candidate + update * hidden]


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())


@pytest.mark.parametrize("name", CELLS)
def test_step_is_the_documented_equation(name: str) -> None:
    torch.manual_seed(1)
    cell = make_cell(name, 5, 7)
    x = torch.randn(3, 5)
    state = cell.state_type(*(torch.randn(3, 7) for _ in cell.state_names))
    expected = equations(name, cell, x.double().numpy(), [s.double().numpy() for s in state])
    output, end = cell.step(x, state)
    assert torch.equal(output, end.hidden)
    for got, want in zip(end, expected, strict=True):
        assert np.abs(got.detach().numpy() - want).max() <= EQUATIONS


@pytest.mark.parametrize("name", CELLS)
@given(data=st.data())
def test_unroll_with_lengths_is_each_row_alone(name: str, data: st.DataObject) -> None:
    batch, time = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    lengths = data.draw(st.lists(st.integers(0, time), min_size=batch, max_size=batch))
    torch.manual_seed(batch * 7 + time)
    cell = make_cell(name, 3, 4)
    x = torch.randn(batch, time, 3)
    start = cell.state_type(*(torch.randn(batch, 4) for _ in cell.state_names))
    outputs, end = cell.unroll(x, start, torch.tensor(lengths))
    assert outputs.shape == (batch, time, 4)
    for row, length in enumerate(lengths):
        state = cell.state_type(*(part[row : row + 1] for part in start))
        for t in range(length):
            output, state = cell.step(x[row : row + 1, t], state)
            assert difference(output[0], outputs[row, t]) <= SAME, f"first at step {t}"
        assert not outputs[row, length:].any()
        for got, want in zip(end, state, strict=True):
            assert difference(got[row], want[0]) <= SAME


@pytest.mark.parametrize("name", CELLS)
def test_unroll_continues_where_it_stopped(name: str) -> None:
    torch.manual_seed(2)
    cell = make_cell(name, 3, 4)
    x = torch.randn(2, 9, 3)
    whole, whole_end = cell.unroll(x)
    first, middle = cell.unroll(x[:, :4])
    second, end = cell.unroll(x[:, 4:], middle)
    assert difference(torch.cat([first, second], 1), whole) <= SAME
    assert all(difference(a, b) <= SAME for a, b in zip(end, whole_end, strict=True))


@pytest.mark.parametrize(
    ("cell", "reference"),
    [
        (Elman(3, 4), torch.nn.RNN(3, 4, batch_first=True)),
        (Elman(3, 4, "relu"), torch.nn.RNN(3, 4, nonlinearity="relu", batch_first=True)),
        (LSTM(3, 4), torch.nn.LSTM(3, 4, batch_first=True)),
        (GRU(3, 4), torch.nn.GRU(3, 4, batch_first=True)),
    ],
    ids=["elman", "elman-relu", "lstm", "gru"],
)
def test_parameters_mean_what_they_mean_in_torch(cell: Any, reference: Any) -> None:
    weights = zip(reference.parameters(), cell.fused_parameters(), strict=True)
    with torch.no_grad():
        for theirs, ours in weights:
            theirs.copy_(ours)
    x = torch.randn(2, 5, 3)
    assert difference(cell.unroll(x)[0], reference(x)[0]) <= SAME


def test_the_two_forms_of_gru_differ() -> None:
    after, before = GRU(3, 4), GRU(3, 4, reset="before")
    before.load_state_dict(after.state_dict())
    x = torch.randn(2, 5, 3)
    assert difference(after.unroll(x)[0], before.unroll(x)[0]) > SAME


@pytest.mark.parametrize("name", CELLS)
def test_gradients_reach_every_parameter_and_the_start(name: str) -> None:
    cell = make_cell(name, 3, 4)
    start = cell.state_type(*(torch.randn(2, 4, requires_grad=True) for _ in cell.state_names))
    outputs, _ = cell.unroll(torch.randn(2, 5, 3), start, torch.tensor([5, 2]))
    outputs.sum().backward()  # type: ignore[no-untyped-call]
    assert all(part.grad is not None and part.grad.any() for part in start)
    assert all(p.grad is not None and p.grad.any() for p in cell.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_hidden_state_keeps_its_bound(name: str) -> None:
    cell = make_cell(name, 3, 4)
    outputs, _ = cell.unroll(torch.randn(2, 40, 3) * 50)
    largest = float(outputs.detach().abs().max())
    if cell.hidden_bound is None:
        assert largest > 1
    else:
        assert largest <= cell.hidden_bound


@pytest.mark.parametrize("name", CELLS)
def test_reverse_direction_starts_at_each_rows_own_end(name: str) -> None:
    torch.manual_seed(3)
    layer = Layer(3, 4, name, bidirectional=True)
    assert layer.reverse_cell is not None
    lengths = [6, 2, 0, 5]
    x = torch.randn(4, 6, 3)
    outputs, end = layer.unroll(x, layer.initial_state(4), torch.tensor(lengths))
    assert list(end) == [*layer.forward_cell.state_names] + [
        f"reverse.{n}" for n in layer.forward_cell.state_names
    ]
    for row, length in enumerate(lengths):
        if not length:
            assert not outputs[row].any()
            continue
        mirrored, alone = layer.reverse_cell.unroll(x[row : row + 1, :length].flip(1))
        assert difference(outputs[row, :length, 4:], mirrored[0].flip(0)) <= SAME
        assert difference(end["reverse.hidden"][row], alone.hidden[0]) <= SAME


def test_stack_names_its_states_and_steps_as_it_unrolls() -> None:
    torch.manual_seed(4)
    stack = Stack(3, 4, layers=3, cell="lstm").eval()
    state = stack.initial_state(2)
    assert list(state) == [f"{k}.{n}" for k in range(3) for n in ("hidden", "cell")]
    x = torch.randn(2, 5, 3)
    whole, end = stack.unroll(x, state)
    for t in range(5):
        output, state = stack.step(x[:, t], state)
        assert difference(output, whole[:, t]) <= SAME, f"first at step {t}"
    assert all(difference(state[name], end[name]) <= SAME for name in end)


def test_dropout_is_between_layers_and_in_training_only() -> None:
    x = torch.randn(2, 5, 3)
    single = Stack(3, 4, layers=1, dropout=0.9)
    start = single.initial_state(2)
    assert torch.equal(single.unroll(x, start)[0], single.unroll(x, start)[0])
    double = Stack(3, 4, layers=2, dropout=0.9)
    start = double.initial_state(2)
    assert difference(double.unroll(x, start)[0], double.unroll(x, start)[0]) > 0
    double.eval()
    assert torch.equal(double.unroll(x, start)[0], double.unroll(x, start)[0])


def test_bidirectional_layer_cannot_step() -> None:
    layer = Layer(3, 4, bidirectional=True)
    with pytest.raises(InputError, match="bidirectional layer cannot step"):
        layer.step(torch.randn(1, 3), layer.initial_state(1))


def test_unknown_cell_suggests_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"There is no cell 'lstn'; did you mean 'lstm'\?"):
        make_cell("lstn", 3, 4)
