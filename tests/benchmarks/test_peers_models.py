"""Weights that all engines share: their form, their rounding, and two ways to write a step."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.peers.models import example_of, module_of, names_of
from benchmarks.peers.ncnn_weights import INT8_TAG, quantize, quantized_rows
from benchmarks.peers.references import answers, memory_of, rounded
from benchmarks.peers.treadle_bundle import network_of
from benchmarks.peers.workloads import (
    WORKLOADS,
    Workload,
    reference_tokens,
    seeded_weights,
    source_tokens,
)

TINY = Workload("tiny", "", "step", 11, 6, 8, 2, 11, streams=3, steps=4)
TAGGER = Workload("tagger", "", "tagger", 11, 6, 8, 1, 5, length=4, cells=("lstm",))
DECODER = Workload("decoder", "", "decoder", 11, 6, 8, 1, 11, length=4, steps=4, cells=("gru",))
BOTH = pytest.mark.parametrize("cell", ["lstm", "gru"])


def test_weights_are_the_same_at_every_call() -> None:
    first, second = (seeded_weights(WORKLOADS["small"], "lstm") for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert first["recurrent.weight_hh_l0"].shape == (512, 128)


@BOTH
def test_cells_of_linear_layers_are_the_recurrent_layers(cell: str) -> None:
    weights = seeded_weights(TINY, cell)
    token, *states = example_of(TINY, cell)
    states = [torch.rand_like(state) for state in states]
    plain = module_of(TINY, cell, weights)(token, *states)
    lowered = module_of(TINY, cell, weights, cells=True)(token, *states)
    assert len(plain) == len(names_of(TINY, cell)[1])
    for one, other in zip(plain, lowered, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@BOTH
def test_the_products_network_is_the_same_function(cell: str) -> None:
    weights, tokens = seeded_weights(TINY, cell), reference_tokens(TINY)
    network = network_of(TINY, cell, weights)
    with torch.no_grad():
        made, _ = network.sequence(  # type: ignore[operator]
            torch.from_numpy(tokens.T), None, network.initial_state(TINY.streams)
        )
    expected = answers(TINY, cell, weights, tokens, None)
    np.testing.assert_allclose(made.transpose(0, 1), expected, rtol=0, atol=1e-5)


def test_the_products_tagger_is_the_same_function() -> None:
    weights, tokens = seeded_weights(TAGGER, "lstm"), reference_tokens(TAGGER)
    network = network_of(TAGGER, "lstm", weights)
    with torch.no_grad():
        made, _ = network.sequence(  # type: ignore[operator]
            torch.from_numpy(tokens.T), torch.tensor([4]), {}
        )
    expected = answers(TAGGER, "lstm", weights, tokens, None)
    np.testing.assert_allclose(made[0], expected, rtol=0, atol=1e-5)


def test_the_products_decoder_is_the_same_function() -> None:
    weights, tokens = seeded_weights(DECODER, "gru"), reference_tokens(DECODER)
    network = network_of(DECODER, "gru", weights)
    with torch.no_grad():
        source = torch.from_numpy(source_tokens(DECODER)[None])
        context, start = network.encode(source, torch.tensor([4]))  # type: ignore[operator]
        state = network.initial_state(1) | start
        made, _ = network.sequence(  # type: ignore[operator]
            torch.from_numpy(tokens.T), None, state, context
        )
    expected = answers(DECODER, "gru", weights, tokens, memory_of(DECODER, "gru", weights))
    np.testing.assert_allclose(made[0], expected[:, 0], rtol=0, atol=1e-5)


def test_rounding_keeps_the_largest_weight_of_a_row_or_block() -> None:
    matrix = np.zeros((2, 64), np.float32)
    matrix[0, 3], matrix[0, 40], matrix[1, 5] = 1.27, 0.014, -0.7
    eight = rounded({"w": matrix, "b": matrix[0]}, "int8")
    assert eight["w"][0, 3] == pytest.approx(1.27)
    assert eight["w"][0, 40] == pytest.approx(0.01)  # a level is 0.01
    assert eight["b"] is not None
    np.testing.assert_array_equal(eight["b"], matrix[0])
    four = rounded({"w": matrix}, "int4")
    assert four["w"][0, 40] == pytest.approx(0.014)  # alone in its block
    assert four["w"][1, 5] == pytest.approx(-0.7)


def test_rows_in_8_bits_for_ncnn() -> None:
    rows = np.array([[1.0, -0.5, 0.0], [0.0, 2.0, 2.0]], np.float32)
    content, factors = quantized_rows(rows)
    assert content == INT8_TAG + bytes([127, 192, 0, 0, 127, 127]) + bytes(2)  # -63.5 is -64
    np.testing.assert_array_equal(factors, np.array([127, 63.5], np.float32))


def test_an_ncnn_model_with_one_inner_product(tmp_path: Path) -> None:
    param, weights = tmp_path / "m.param", tmp_path / "m.bin"
    param.write_text("7767517\n2 2\nInput in0 0 1 in0\nInnerProduct fc 1 1 in0 out0 0=1 1=1 2=2\n")
    numbers = np.array([1.0, -1.0, 0.25], np.float32)  # two weights and a bias
    weights.write_bytes(bytes(4) + numbers.tobytes())
    quantize(param, weights, tmp_path / "q.param", tmp_path / "q.bin")
    assert (tmp_path / "q.param").read_text().splitlines()[-1].endswith("2=2 8=2")
    levels = INT8_TAG + bytes([127, 129, 0, 0])
    rest = np.array([0.25, 127, 127], np.float32).tobytes()
    assert (tmp_path / "q.bin").read_bytes() == levels + rest
    weights.write_bytes(weights.read_bytes() + bytes(4))
    with pytest.raises(ValueError, match="4 bytes of weights"):
        quantize(param, weights, tmp_path / "q.param", tmp_path / "q.bin")
