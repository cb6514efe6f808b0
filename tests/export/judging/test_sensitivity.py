"""What each matrix and each gate costs alone, and the choice that is made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.export.captures import captured
from tests.export.small_models import canonical, untrained_run
from treadle.errors import ExportError, QualityError
from treadle_export.commands.quantize_options import Share
from treadle_export.commands.requantize import requantize as requantize_command
from treadle_export.commands.sensitivity import sensitivity as sensitivity_command
from treadle_export.engine import Engine
from treadle_export.exporting.material import description_of
from treadle_export.judging.judge import FLOAT32, Judge
from treadle_export.judging.mixed_plan import planned
from treadle_export.judging.sensitivity import Sensitivity, sensitivity
from treadle_export.judging.sensitivity_report import as_table
from treadle_export.passes.split_gates import GATE_NAMES, gates_of
from treadle_export.quantization.precision import PRECISIONS, Precision, lower
from treadle_export.quantization.quantizer import Quantization, Quantizer

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.selfcheck import Report
    from treadle_export.engine import Arrays

Exported = tuple[dict[str, "Path"], dict[str, "Report"]]
INT4 = PRECISIONS["int4"]


@pytest.fixture(scope="module")
def quantizer(made_up: None, tmp_path_factory: pytest.TempPathFactory) -> Quantizer:
    # Untrained n-grams are all zeros: two equal tables, which are stored as one.
    small = ("network.encoder_layers=1", "network.source_ngrams=1")
    run = untrained_run(tmp_path_factory.mktemp("run"), *small)
    return Quantizer(captured(run.network), description_of(run), 40)


@pytest.fixture(scope="module")
def measured(quantizer: Quantizer) -> Sensitivity:
    return sensitivity(Judge(quantizer, 8), INT4)


@pytest.mark.parametrize("kind", ["lstm-model", "gru-model", "gru-before-model", "elman-model"])
def test_a_layer_in_products_by_gate_says_the_same(kind: str) -> None:
    gates = gates_of(canonical(kind).graphs["step"].model.graph)
    split = lower(canonical(kind), INT4, exceptions=FLOAT32, gates=gates)
    whole = lower(canonical(kind), INT4, exceptions=FLOAT32)
    interface = whole.graphs["step"].interface
    random = np.random.default_rng(0)
    feeds: Arrays = {
        "token": np.arange(4),
        **{
            port.input: random.uniform(-1, 1, (4, int(port.shape[1]))).astype(np.float32)
            for port in interface.state
        },
    }
    expected = Engine(whole.graphs["step"].model).run(feeds)
    for name, array in Engine(split.graphs["step"].model).run(feeds).items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=2e-6)
    assert bool(gates) is not kind.startswith("elman")  # the only gate of which is the layer


def test_only_the_chosen_gate_is_quantized() -> None:
    """From an empty cell the forget gate has nothing to keep: its rounding cannot show."""
    weight = "recurrent.layers.0.recurrent"
    chosen = {f"{weight}.forget": "int4", **FLOAT32}
    gates = {weight: GATE_NAMES["LSTM"]}
    models = [
        lower(canonical("lstm-model"), INT4, exceptions=exceptions, gates=gates)
        for exceptions in (chosen, FLOAT32)
    ]
    engines = [Engine(model.graphs["step"].model) for model in models]
    interface = models[0].graphs["step"].interface
    state = {port.input: np.zeros((1, 37), np.float32) for port in interface.state}
    state["state.recurrent.0.hidden"] += 0.7
    feeds = {"token": np.array([3]), **state}
    cell = "next_state.recurrent.0.cell"
    rounded, plain = (engine.run(feeds)[cell] for engine in engines)
    np.testing.assert_array_equal(rounded, plain)
    feeds["state.recurrent.0.cell"] += 1
    rounded, plain = (engine.run(feeds)[cell] for engine in engines)
    assert (rounded != plain).mean() > 0.5


def test_every_matrix_embedding_and_gate_is_measured(measured: Sensitivity) -> None:
    names = {harm.weight for harm in measured.harms if harm.gate is None}
    layers = ("encoder.layers.0", "encoder.layers.0.reverse", "decoder.layers.0")
    matrices = {f"{layer}.{part}" for layer in layers for part in ("input", "recurrent")}
    attention = {f"attention.{part}" for part in ("keys", "values", "mix")}
    assert names == matrices | attention | {"output", "source_embedding", "target_embedding"}
    gates = {(harm.weight, harm.gate) for harm in measured.harms if harm.gate is not None}
    assert gates == {(name, gate) for name in matrices for gate in GATE_NAMES["LSTM"]}
    assert len(measured.harms) == len(names) + len(gates)
    rises = [harm.rise for harm in measured.harms]
    assert rises == sorted(rises, reverse=True)


def test_the_figures_are_those_of_the_judge(quantizer: Quantizer, measured: Sensitivity) -> None:
    judge = Judge(quantizer, 8)
    plain = judge.nats(INT4, FLOAT32)
    assert measured.symbols == len(plain)
    assert measured.float32 == plain.mean()
    (harm,) = [h for h in measured.harms if h.weight == "output"]
    rises = judge.nats(INT4, {"output": "int4", **FLOAT32}) - plain
    assert harm.rise == rises.mean()
    assert harm.error == rises.std(ddof=1) / np.sqrt(len(rises))
    assert harm.parameters == 32 * 8
    assert rises.any()
    assert measured.whole == judge.nats(INT4, {}).mean()


def test_a_damaged_matrix_is_found(made_up: None, tmp_path: Path) -> None:
    """An input that moves all outputs alike says nothing, but it makes every scale coarse."""
    import torch

    damaged = untrained_run(tmp_path, "network.encoder_layers=1")
    with torch.no_grad():
        weights = damaged.network.get_parameter("output.weight")
        weights.mul_(3)
        weights[:, 0] = 60.0
    quantizer = Quantizer(captured(damaged.network), description_of(damaged), 0)
    found = sensitivity(Judge(quantizer, 8), INT4, by_gate=False)
    assert max(found.harms, key=lambda harm: abs(harm.rise)).weight == "output"


def test_weights_become_int8_from_the_worst_on(
    quantizer: Quantizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a judge whose verdicts are known the choice is known, too."""
    costs = {"output": 0.05, "attention.mix": 0.02, "decoder.layers.0.input": 0.004}
    asked: list[dict[str, str]] = []

    def nats(_: Judge, __: object, exceptions: dict[str, str], gates: object = None) -> object:
        asked.append(dict(exceptions))
        default = "float32" if "*" in exceptions else "int4"
        few = [n for n in costs if exceptions.get(n, default) == "int4"]
        return np.full(3, 1 + sum(costs[name] for name in few))

    monkeypatch.setattr(Judge, "nats", nats)
    said: list[str] = []
    budget = Quantization(calibration=0, max_quality_drop=0.005)
    chosen = planned(quantizer, INT4, budget, said.append)
    assert chosen == {"output": "int8", "attention.mix": "int8"}
    assert said[-1] == "int4: attention.mix in int8: +0.40%"
    kept = Quantization(calibration=0, max_quality_drop=0.005, exceptions={"output": "float32"})
    assert planned(quantizer, INT4, kept) == {"output": "float32", "attention.mix": "int8"}
    assert planned(quantizer, INT4, Quantization(calibration=0)) == {}


SHARES = {"output": 1.0, "attention.mix": 0.9, "decoder.layers.0.input": 0.8}
COSTS = {"float32": 0.0, "int4": 0.05, "int8": 0.003, "int8-block": 0.0002}


@pytest.mark.parametrize(
    ("name", "budget", "chosen"),
    [
        ("int4", 0.05, ["int8", "int8", "int4"]),
        ("int4", 0.008, ["int8-block", "int8", "int8"]),
        ("int8", 0.007, ["int8-block", "int8", "int8"]),
        ("int8", 0.003, ["int8-block", "int8-block", "int8"]),
    ],
)
def test_what_is_not_safe_enough_becomes_safer_once_more(
    quantizer: Quantizer,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    budget: float,
    chosen: list[str],
) -> None:
    """Each of three weights costs its share of what its precision costs, all others nothing."""

    def nats(_: Judge, precision: Precision, exceptions: dict[str, str], __: Any = None) -> Any:
        default = exceptions.get("*", precision.name)
        cost = sum(share * COSTS[exceptions.get(n, default)] for n, share in SHARES.items())
        return np.full(3, 1 + cost)

    monkeypatch.setattr(Judge, "nats", nats)
    asked = Quantization(calibration=0, max_quality_drop=budget)
    made = planned(quantizer, PRECISIONS[name], asked)
    assert [made.get(weight, name) for weight in SHARES] == chosen
    with pytest.raises(QualityError, match="could spare in a safer precision"):
        planned(quantizer, PRECISIONS[name], replace(asked, max_quality_drop=0.0004))
    with pytest.raises(QualityError, match="could spare in a safer precision"):
        planned(quantizer, PRECISIONS[name], asked, among=())


def test_a_float32_bundle_has_no_exceptions(quantizer: Quantizer) -> None:
    asked = Quantization(exceptions={"output": "int8"})
    with pytest.raises(ExportError, match="a plan for another precision than float32"):
        planned(quantizer, PRECISIONS["float32"], asked)
    assert planned(quantizer, PRECISIONS["float32"], Quantization()) == {}


def test_the_table_names_the_worst_first(measured: Sensitivity) -> None:
    lines = as_table(measured).splitlines()
    worst = measured.harms[0]
    assert lines[0].startswith("weights alone")
    assert lines[2].startswith(worst.weight)
    assert lines[-2].startswith("all in int4")
    assert "of the validation split" in lines[-1]
    json.dumps(measured.to_json())


def test_a_bundle_can_be_asked_as_well_as_a_run(exported: Exported, tmp_path: Path) -> None:
    picture = tmp_path / "harm.png"
    arguments = [str(exported[0]["float32"]), "--limit", "4", "--calibration", "20", "--no-gates"]
    done = CliRunner().invoke(sensitivity_command, [*arguments, "--plot", str(picture), "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["precision"] == "int4"
    assert {harm["gate"] for harm in document["harms"]} == {None}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_commands_quantize(exported: Exported, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text('{"output": "int8"}')
    out = tmp_path / "x.treadle"
    arguments = [str(exported[0]["float32"]), "--out", str(out), "--precision", "int4"]
    options = ["--calibration", "none", "--plan", str(plan), "--max-quality-drop", "60%"]
    done = CliRunner().invoke(requantize_command, [*arguments, *options, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["passed"] is True
    assert "warning: weights of 4 bits are rounded without calibration" in done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["plan"]["weights"] == {"output": "int8"}


@pytest.mark.parametrize(
    "options",
    [
        ["--calibration", "0"],
        ["--calibration", "some"],
        ["--max-quality-drop", "much"],
        ["--max-quality-drop", "150%"],
    ],
)
def test_wrong_options_are_wrong_usage(options: list[str]) -> None:
    arguments = ["x.treadle", "--out", "y.treadle", "--precision", "int4", *options]
    assert CliRunner().invoke(requantize_command, arguments).exit_code == 2


@pytest.mark.parametrize(("text", "share"), [("0.5%", 0.005), ("0.01", 0.01), ("0%", 0.0)])
def test_a_share_is_read_either_way(text: str, share: float) -> None:
    assert Share().convert(text, None, None) == share
