"""int4 of a fine-tuned run holds what its training saw: every block, every table, no other."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import treadle
from tests.export import small_models
from tests.export.captures import captured
from tests.export.small_models import canonical
from treadle.errors import ExportError
from treadle.selfcheck import verify
from treadle_export.exporting.exporter import export_run
from treadle_export.exporting.material import description_of
from treadle_export.passes.quantize import ZERO
from treadle_export.passes.rewriting import constant_array, given
from treadle_export.quantization.precision import lower, precision_named
from treadle_export.quantization.quantizer import Quantizer
from treadle_export.rounding.learned_blocks import learned_blocks
from treadle_export.rounding.matrices import Rounding
from treadle_train.catalogue import load_recipe
from treadle_train.fine_tuning import FineTuning
from treadle_train.networks import LanguageModel, Network, Transducer
from treadle_train.quantization.blocks import BLOCKS, BlockForm
from treadle_train.quantization.fake import FakeQuantization
from treadle_train.run import FineTuned, Run
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx_ir as ir
    from torch import Tensor

    from treadle_export.canonical import CanonicalModel

KINDS = ["lstm-model", "gru-before-model", "relu-model", "gru-additive", "gru-before-fixed"]
# Folded also where weights have 4 bits: a language model's embedding, one of a transducer's two.
FOLDED: dict[str, Callable[[], Network]] = {
    "model": lambda: LanguageModel(11, 45, 33, 1, "gru"),
    "transducer": lambda: Transducer(11, 41, 45, 22, 1, 1, "lstm", "general"),
}


def small(kind: str) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made = FOLDED[kind]() if kind in FOLDED else LanguageModel(19, 12, 37, 2, "lstm")
    return made.eval()


def rounding_of(made: Network) -> FakeQuantization:
    rounding = FakeQuantization(made, "int4")
    rounding.search()
    return rounding


@cache
def fine_tuned(kind: str) -> tuple[Run, CanonicalModel]:
    """A run whose weights are rounded, and its network captured."""
    made = small(kind)
    rounding = rounding_of(made)
    rounding.put()
    tuned = FineTuned("int4", rounding.scales, "word_error_rate", 10.0, 10.1)
    run = replace(small_models.untrained_run("nowhere"), network=made, fine_tuned=tuned)
    return run, captured(made)


class Watched(Rounding):
    """Keeps every matrix as its blocks say it."""

    def __init__(self, run: Run | None = None) -> None:
        super().__init__(learned=None if run is None else learned_blocks(run))
        self.given: dict[str, np.ndarray[Any, Any]] = {}

    def __call__(self, name: str, weights: Any, form: BlockForm) -> Any:
        blocks = super().__call__(name, weights, form)
        self.given[name] = blocks.dequantized()
        return blocks


def columns(matrices: Any) -> set[bytes]:
    """Their columns by content, with one zero."""
    return {
        (column + np.float32(0)).tobytes()
        for matrix in matrices
        for column in np.ascontiguousarray(matrix.T)
    }


def tables(model: CanonicalModel) -> dict[str, np.ndarray[Any, Any]]:
    """Parameter's name -> the table that the graphs hold in 8 bits."""
    found = {}
    for graph in model.graphs.values():
        for value in graph.model.graph.initializers.values():
            name = str(value.name)
            if not name.endswith("embedding.weight.int8"):
                continue
            (use,) = value.uses()
            integers = constant_array(value)
            assert integers is not None
            found[name.removeprefix("network.").removesuffix(".int8")] = (
                integers.astype(np.float32) - ZERO
            ) * scale_of(use.node)
    return found


def scale_of(gather: ir.Node) -> np.ndarray[Any, Any]:
    """The scales [V, 1] of a table of integers, which are gathered by the same ids."""
    for use in given(gather, 1).uses():
        table = constant_array(use.node.inputs[0]) if use.node.op_type == "Gather" else None
        if table is not None and table.dtype == np.float32 and table.shape[1:] == (1,):
            return table
    raise AssertionError(gather)


def check(made: Network, model: CanonicalModel, rounding: Watched) -> list[str]:
    """That every block and table is what a forward pass sees; the names of tables of products."""
    lowered = lower(model, precision_named("int4"), rounding=rounding)
    seen = rounding_of(made).rounded()
    in_blocks = [w.numpy().T for name, w in seen.items() if not name.endswith("embedding.weight")]
    assert columns(rounding.given.values()) == columns(in_blocks)
    found = tables(lowered)
    assert set(found) == {name for name in seen if name.endswith("embedding.weight")}
    for name, table in found.items():
        np.testing.assert_array_equal(table, seen[name].numpy())
    return [name for name in names(lowered) if name.endswith(".lookup")]


@pytest.mark.parametrize("kind", KINDS)
def test_training_rounds_what_the_export_rounds_and_nothing_else(kind: str) -> None:
    assert not check(small_models.network(kind), canonical(kind), Watched())


@pytest.mark.parametrize("kind", ["model", pytest.param("transducer", marks=pytest.mark.slow)])
def test_what_is_folded_into_a_table_is_not_rounded(kind: str) -> None:
    made = small(kind)
    assert check(made, captured(made), Watched())


def test_the_export_of_a_fine_tuned_run_holds_what_training_saw() -> None:
    run, model = fine_tuned("plain")
    rounding = Watched(run)
    lower(model, precision_named("int4"), rounding=rounding)
    assert run.fine_tuned is not None
    seen = [run.network.get_parameter(n).detach().numpy().T for n in run.fine_tuned.scales]
    assert columns(rounding.given.values()) == columns(seen)


def names(model: CanonicalModel) -> list[str]:
    return [str(n) for graph in model.graphs.values() for n in graph.model.graph.initializers]


def test_a_gate_alone_is_still_known() -> None:
    run, canonical_model = fine_tuned("plain")
    quantizer = Quantizer(canonical_model, description_of(run), learned=learned_blocks(run))
    gates = {"recurrent.layers.0.recurrent": ("input", "output", "forget", "cell")}
    model = quantizer.lowered(precision_named("int4"), gates=gates)
    assert any("layers.0.recurrent.forget.unpacked" in name for name in names(model))


def test_weights_that_were_not_trained_so_are_refused() -> None:
    run, _ = fine_tuned("plain")
    learned = learned_blocks(run)
    assert learned is not None
    weights = run.network.get_parameter("output.weight").detach().numpy().T.copy()
    assert learned("output", weights).form == BLOCKS["int4"]
    weights[0, :2] += 1
    with pytest.raises(ExportError, match=r"weights 'output' that were fine-tuned for int4, got"):
        learned("output", weights)


def test_a_run_that_was_tuned_in_other_blocks_is_refused() -> None:
    run, _ = fine_tuned("plain")
    assert run.fine_tuned is not None
    scales = {name: array[:, ::2] for name, array in run.fine_tuned.scales.items()}
    learned = learned_blocks(replace(run, fine_tuned=replace(run.fine_tuned, scales=scales)))
    assert learned is not None
    weights = run.network.get_parameter("output.weight").detach().numpy().T.copy()
    with pytest.raises(ExportError, match=r"one scale for 16 of the 37 inputs of 'output', got 2"):
        learned("output", weights)


def test_a_run_that_was_not_fine_tuned_has_no_such_blocks() -> None:
    assert learned_blocks(small_models.untrained_run("nowhere")) is None


def test_from_training_to_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is its own split; one short epoch, whose last forward pass is that of validation."""
    passes: list[dict[str, Tensor]] = []
    put = FakeQuantization.put

    def watched(self: FakeQuantization) -> None:
        put(self)
        passes.append({n: self.network.get_parameter(n).clone() for n in self.blocks})

    monkeypatch.setattr(FakeQuantization, "put", watched)
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n" * 150)
    sizes = ["network.hidden_size=48", "network.embedding_size=16", "training.epochs=1"]
    lanes = ["batching.batch_size=8", "batching.steps=32", "training.threads=1"]
    recipe = load_recipe("characters", [f"data.options.path={text}", *sizes, *lanes])
    run = train(recipe, tmp_path / "run", fine_tuning=FineTuning("int4"), progress="none")

    rounding = Watched(run)
    lower(captured(run.network), precision_named("int4"), rounding=rounding)
    last = [weights.detach().numpy().T for weights in passes[-1].values()]
    assert columns(rounding.given.values()) == columns(last)

    said: list[str] = []
    out = tmp_path / "x.treadle"
    export_run(run, {"int4": out}, quality_limit=100, progress=said.append)
    assert not any("calibrat" in line for line in said)
    manifest = json.loads((out / "manifest.json").read_text())
    tuned = run.fine_tuned
    assert tuned is not None
    assert manifest["evidence"]["quantization"] == {
        "method": "fine-tuned",
        "bits": 4,
        "block_size": 16,
        "fine_tuning": {
            "metric": "bits_per_character",
            "split": "validation",
            "float32": None,
            "int4": tuned.rounded,
        },
    }
    with treadle.load(out) as model:
        assert verify(model).passed


def test_other_precisions_are_rounded_as_ever() -> None:
    run, canonical_model = fine_tuned("plain")
    quantizer = Quantizer(canonical_model, description_of(run), 0, learned=learned_blocks(run))
    assert quantizer.evidence(precision_named("int4"), {})["method"] == "fine-tuned"
    found = quantizer.evidence(precision_named("int4-fast"), {})
    assert found == {"method": "nearest", "bits": 4, "block_size": 128, "calibration": None}
    mixed = quantizer.evidence(precision_named("int4"), {"output": "int4-fast"})
    assert mixed["method"] == "fine-tuned"
    assert mixed["exceptions"] == {"output": "int4-fast"}
