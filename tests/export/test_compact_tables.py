"""Rows of zeros are stored once: the same bits, in every precision, from fewer bytes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.export.small_models import SOURCES, canonical, lowered, network
from treadle_export.capturing.network import capture
from treadle_export.engine import Engine
from treadle_export.passes import compact_tables
from treadle_export.quantization.precision import lower, precision_named
from treadle_train.networks import NgramEmbedding, Transducer

if TYPE_CHECKING:
    import onnx_ir as ir

TABLE = "network.source_ngrams.around.weight"


@pytest.fixture(scope="module")
def sparse() -> Transducer:
    """One of which most triples never came up."""
    made = copy.deepcopy(network("ngram-general"))
    assert isinstance(made, Transducer)
    assert isinstance(made.source_ngrams, NgramEmbedding)
    around = made.source_ngrams.around
    assert around is not None
    with torch.no_grad():
        around.weight[torch.rand(len(around.weight)) < 0.7] = 0
    return made


def stored(model: ir.Model) -> int:
    """Bytes of all initializers."""
    values = [value.const_value for value in model.graph.initializers.values()]
    return sum(value.nbytes for value in values if value is not None)


@pytest.mark.parametrize("precision", ["float32", "int8", "int4"])
def test_the_answers_are_the_same_bits(
    sparse: Transducer, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, asked = capture(sparse), precision_named(precision)
    small = lower(model, asked).graphs["encode"].model
    monkeypatch.setattr(compact_tables, "_LEAST_SAVED", 2.0)  # nothing is worth it
    large = lower(model, asked).graphs["encode"].model
    names = {name for name in small.graph.initializers if name.startswith(TABLE)}
    assert f"{TABLE}.places" in names
    assert stored(small) < stored(large)
    random = np.random.default_rng(4)
    source = random.integers(0, SOURCES, (6, 16))
    feeds = {"source": source, "source_lengths": np.array([16, 3, 9, 1, 16, 12])}
    expected, found = Engine(large).run(feeds), Engine(small).run(feeds)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_tables_in_full_use_are_left_alone() -> None:
    for kind in ("ngram-general", "lstm-general", "lstm-model"):
        for graph in lowered(kind, "float32").graphs.values():
            assert not any(name.endswith(".places") for name in graph.model.graph.initializers)
    assert TABLE in canonical("ngram-general").graphs["encode"].model.graph.initializers
