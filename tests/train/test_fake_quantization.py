"""Rounding in training: the levels of the export, and gradients that pass straight through."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from treadle_train.networks import LanguageModel, Network
from treadle_train.quantization.blocks import BLOCKS, levels_in_blocks, search_scales
from treadle_train.quantization.fake import FakeQuantization, rounded_blocks, rounded_rows

SEEDS = st.integers(0, 2**32 - 1)
FOUR_BITS = ["int4", "int4-block", "int4-fast"]


def uneven(rows: int, columns: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows of unlike size; here and there a stretch of zeros."""
    random = np.random.default_rng(seed)
    weights = random.normal(size=(rows, columns)) * np.geomspace(1e-4, 10, rows)[:, None]
    weights[random.random(weights.shape) < 0.1] = 0
    weights[seed % rows, : columns // 2] = 0
    return weights.astype(np.float32)


@pytest.mark.parametrize("precision", FOUR_BITS)
@settings(max_examples=40)
@given(inputs=st.integers(1, 150), outputs=st.integers(1, 20), seed=SEEDS)
def test_training_rounds_to_the_very_levels_of_the_export(
    precision: str, inputs: int, outputs: int, seed: int
) -> None:
    form = BLOCKS[precision]
    weights = uneven(outputs, inputs, seed)
    scales = search_scales(weights.T, form)
    levels = levels_in_blocks(weights.T, scales, form)
    assert scales.shape == (-(-inputs // form.block_size), outputs)
    seen = rounded_blocks(
        torch.from_numpy(weights), torch.from_numpy(scales.T.copy()), form
    ).numpy()
    expected = levels.astype(np.float32) * np.repeat(scales, form.block_size, axis=0)[:inputs]
    np.testing.assert_array_equal(seen.T, expected)
    # What was rounded stays where it is, so that rounding it once more loses nothing.
    again = levels_in_blocks(seen.T, scales, form)
    np.testing.assert_array_equal(again, levels)


@given(rows=st.integers(1, 40), columns=st.integers(1, 70), seed=SEEDS)
def test_a_table_rounded_twice_is_the_table_rounded_once(
    rows: int, columns: int, seed: int
) -> None:
    table = torch.from_numpy(uneven(rows, columns, seed))
    once = rounded_rows(table)
    assert torch.equal(rounded_rows(once), once)
    largest = table.abs().amax(dim=1, keepdim=True)
    assert ((once - table).abs() <= largest / 127 / 2 * 1.001).all()


def model() -> LanguageModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return LanguageModel(23, 12, 35, layers=2)


class Loss(nn.Module):
    """The mean cross-entropy of a network over made-up symbols."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor) -> Tensor:
        start = self.network.initial_state(len(token))
        logits, _ = self.network.sequence(token, None, start)  # type: ignore[operator]
        return functional.cross_entropy(logits[:, :-1].flatten(0, 1), token[:, 1:].flatten())


def test_gradients_pass_straight_through_the_rounding() -> None:
    network = model()
    before = copy.deepcopy(network.state_dict())
    token = torch.arange(42).reshape(3, 14) * 5 % 23
    rounding = FakeQuantization(network, "int4")
    rounding.search()
    rounding.put()
    loss = Loss(network)(token)
    loss.backward()
    assert not torch.equal(network.get_parameter("output.weight"), before["output.weight"])
    rounding.take_back()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    other = Loss(model())
    straight = {}
    for name, weights in other.network.named_parameters():
        seen = rounding.rounded().get(name, weights.detach())
        straight[f"network.{name}"] = weights + (seen - weights).detach()
    expected = functional_call(other, straight, (token,))
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for (name, parameter), twin in zip(
        network.named_parameters(), other.network.parameters(), strict=True
    ):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, twin.grad, msg=name)


def test_putting_rounded_weights_twice_keeps_the_ones_behind() -> None:
    network = model()
    before = network.get_parameter("output.weight").detach().clone()
    rounding = FakeQuantization(network, "int4")
    rounding.search()
    scales = {name: scale.clone() for name, scale in rounding.scales.items()}
    rounding.put()
    rounding.search()  # of the weights behind, not of the rounded ones
    rounding.put()
    rounding.take_back()
    assert torch.equal(network.get_parameter("output.weight"), before)
    assert all(torch.equal(scale, scales[name]) for name, scale in rounding.scales.items())
