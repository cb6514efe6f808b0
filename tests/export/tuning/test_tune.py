"""`--tune` from the command to the bundle, on real candidates; only what is timed is made up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import treadle
from tests.export.foreign_graphs import foreign
from tests.project.repository import ROOT
from treadle.bundle import open_bundle
from treadle.cli import run as run_command
from treadle.errors import ExportError, InputError, ParityError, QualityError
from treadle.selfcheck import verify
from treadle.stopwatch import Latency
from treadle_export.commands.export import export as export_command
from treadle_export.commands.requantize import requantize as requantize_command
from treadle_export.judging.outputs import BUDGET
from treadle_export.tuning import tune as module
from treadle_export.tuning.candidates import PRECISIONS
from treadle_export.tuning.losses import Loss
from treadle_export.tuning.plan_file import read_plan
from treadle_export.tuning.search import Request
from treadle_export.tuning.tune import Tuning, tune_bundle, tune_foreign, tune_run
from treadle_export.tuning.workload import STEP, Workload

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.selfcheck import Report
    from treadle_export.tuning.result import Result
    from treadle_train.run import Run

Exported = tuple[dict[str, "Path"], dict[str, "Report"]]
MICROS = {"float32": 40.0, "float32 cell": 30.0, "int8": 10.0, "int8 not folded": 20.0}


def clock(bundles: Any, workloads: Any, trace: Any, rounds: int) -> Any:
    """int8 is the fastest, two threads are faster than one, and a plain call is slower."""
    times = {}
    for each in bundles:
        settings = each.settings
        micros = MICROS[str(each)] / settings.threads + 3 * (settings.call == "plain")
        times[each] = {w: Latency(micros, 2 * micros, 10, settings.threads) for w in workloads}
    return times


@pytest.fixture(autouse=True)
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("treadle.plan.cores", "treadle_export.tuning.candidates.cores"):
        monkeypatch.setattr(place, lambda: 2)


@pytest.fixture(scope="module")
def tuned(
    exported: Exported, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, dict[str, Any], str]:
    """A bundle tuned by the command, its plan, what was printed as JSON, and the messages."""
    folder = tmp_path_factory.mktemp("tuned")
    out, plan, picture = folder / "x.treadle", folder / "plan.json", folder / "plot.png"
    arguments = [str(exported[0]["float32"]), "--out", str(out), "--precision", "int8", "--tune"]
    arguments += ["--workload", "step:1", "--workload", "step:3", "--workload", "sequence:4x2"]
    arguments += ["--workload", "encode:5x2", "--rounds", "1", "--max-quality-drop", "50%"]
    files = ["--plan-out", str(plan), "--plot", str(picture)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("treadle_export.tuning.timing.ROUND_SECONDS", 1e-3)
        patch.setattr("treadle_export.judging.judge.DEFAULT_EXAMPLES", {"transduction": 20})
        done = CliRunner().invoke(requantize_command, [*arguments, *files, "--json"])
    assert done.exit_code == 0, done.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    return out, plan, json.loads(done.stdout), done.stderr


def test_the_command_times_and_writes(tuned: tuple[Path, Path, dict[str, Any], str]) -> None:
    out, _, document, messages = tuned
    assert document["passed"] is True
    assert document["precision"] == "int8"
    candidates = document["tuning"]["candidates"]
    (chosen,) = [each for each in candidates if each["chosen"]]
    workloads = {"step:1", "step:3", "sequence:4x2", "encode:5x2"}
    for each in candidates:
        assert set(each["workloads"]) == workloads
        assert all(0 < w["p50_us"] <= w["p99_us"] for w in each["workloads"].values())
    assert "for comparison" in messages
    assert "chosen: int8" in messages
    manifest = open_bundle(out).manifest
    settings = manifest.plan["settings"]
    assert settings == {name: chosen[name] for name in settings}
    assert set(settings) == {"lowering", "block_size", "folding", "threads", "call"}
    latency = manifest.evidence["latency"]
    assert latency["workloads"] == chosen["workloads"]
    assert latency["machine"] == document["tuning"]["machine"]
    assert manifest.evidence["quality"]["split"] == "test"


def test_a_tuned_bundle_runs_as_it_was_tuned(
    tuned: tuple[Path, Path, dict[str, Any], str],
) -> None:
    out = tuned[0]
    settings = open_bundle(out).manifest.plan["settings"]
    with treadle.load(out) as model:
        assert (model.hardware.threads, model.call) == (settings["threads"], settings["call"])
        assert verify(model).passed


def test_the_plan_makes_the_same_bundle_again(
    exported: Exported, tuned: tuple[Path, Path, dict[str, Any], str], tmp_path: Path
) -> None:
    out, plan, _, _ = tuned
    document = json.loads(plan.read_text())
    document["machine"]["kind"] = "riscv64"
    elsewhere = tmp_path / "plan.json"
    elsewhere.write_text(json.dumps(document))
    again = tmp_path / "again.treadle"
    arguments = [str(exported[0]["float32"]), "--out", str(again), "--plan", str(elsewhere)]
    done = CliRunner().invoke(requantize_command, [*arguments, "--max-quality-drop", "50%"])
    assert done.exit_code == 0, done.output
    assert "note: the plan was tuned on riscv64" in done.stderr
    found, expected = open_bundle(again).manifest, open_bundle(out).manifest
    assert found.digest == expected.digest
    assert "latency" not in found.evidence
    wrong = [*arguments, "--precision", "int4"]
    done = CliRunner().invoke(requantize_command, wrong)
    assert isinstance(done.exception, ExportError)
    assert "the precision of the plan" in str(done.exception)


@pytest.mark.slow
def test_a_run_is_tuned_into_a_float32_bundle_as_well(run: Run, tmp_path: Path) -> None:
    """The cell is the fastest of float32, so it is what is written, threads and all."""
    out = tmp_path / "x.treadle"
    shown: list[Result] = []
    request = Request(precisions=("float32",), limit=20)
    tuning = Tuning(request, show=shown.append, timer=clock)
    result = tune_run(run, out, tuning)
    manifest = open_bundle(out).manifest
    assert manifest.precision == "float32"
    assert manifest.plan["step"] == [
        {"operator": "LSTM", "lowering": "cell", "precision": "float32"}
    ]
    assert manifest.plan["settings"]["lowering"] == "cell"
    assert manifest.plan["settings"]["threads"] == 2
    assert result.report.passed
    assert shown == [result.result]
    assert not any(":LSTM:" in operator for operator in manifest.requires["operators"])


@pytest.mark.slow
def test_the_export_command_tunes_among_all_precisions(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle_export.tuning.timing.ROUND_SECONDS", 1e-3)
    monkeypatch.setattr("treadle_export.judging.judge.DEFAULT_EXAMPLES", {"transduction": 20})
    monkeypatch.setattr("treadle_train.run.load_run", lambda _: run)
    out = tmp_path / "x.treadle"
    arguments = ["somewhere", "--out", str(out), "--tune", "--rounds", "1", "--json"]
    done = CliRunner().invoke(export_command, [*arguments, "--calibration", "60"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["passed"] is True
    tried = {each["precision"] for each in document["tuning"]["candidates"]}
    assert tried == set(PRECISIONS)
    assert open_bundle(out).manifest.precision == document["precision"]


def test_the_adopt_command_tunes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("treadle_export.tuning.timing.ROUND_SECONDS", 1e-3)
    monkeypatch.chdir(ROOT)  # from where the factory can be imported
    out = tmp_path / "x.treadle"
    arguments = ["tests.export.adoptable:spotter", "--out", str(out), "--precision", "int8"]
    assert run_command(["adopt", *arguments, "--tune", "--rounds", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["precision"] == open_bundle(out).manifest.precision == "int8"
    assert "settings" in open_bundle(out).manifest.plan


def test_an_adopted_model_is_tuned_by_its_outputs(tmp_path: Path) -> None:
    out = tmp_path / "x.treadle"
    request = Request((STEP, Workload("sequence", 4, 2)), ("float32", "int8"))
    result = tune_foreign(foreign("GRU"), out, Tuning(request, timer=clock))
    assert "distance of outputs over 1,000 carried steps" in result.result.metric
    manifest = open_bundle(out).manifest
    assert manifest.precision == "int8"
    assert manifest.evidence["quality"]["metric"] == "relative_error"
    losses = {str(one.candidate): one.loss for one in result.result.measured}
    assert losses["float32"] == 0
    assert 0 < losses["int8"] <= BUDGET


def test_a_budget_that_nothing_meets_shows_the_table_and_writes_nothing(
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("treadle_export.tuning.search.loss_against", _loses(0.3))
    monkeypatch.setattr("treadle_export.tuning.timing.ROUND_SECONDS", 1e-3)
    arguments = [str(exported[0]["float32"]), "--out", str(tmp_path / "x.treadle"), "--tune"]
    files = ["--plan-out", str(tmp_path / "plan.json"), "--plot", str(tmp_path / "plot.png")]
    options = ["--precision", "int8", "--rounds", "1"]
    assert run_command(["requantize", *arguments, *files, *options]) == 1
    printed = capsys.readouterr()
    assert "over 1.00%" in printed.out
    assert "chosen: none" in printed.out
    assert "error: expected a candidate within the quality budget, got none of" in printed.err
    assert run_command(["requantize", *arguments, *files, *options, "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"]["type"] == "QualityError"
    assert "chosen: none" in printed.err
    assert not list(tmp_path.iterdir())


def test_what_fails_on_the_road_gives_way_to_the_next(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bool, str]] = []

    def requantize(source: Path, out: Path, precision: str, **options: Any) -> Any:
        folding = options["quantization"].settings.folding
        asked.append((folding, precision))
        if folding or failing == "all":
            raise ParityError("over its tolerance") if folding else QualityError("lost on the test")
        return exported[1]["int8"]

    monkeypatch.setattr(module, "requantize", requantize)
    monkeypatch.setattr("treadle_export.tuning.search._write", _digests())
    monkeypatch.setattr("treadle_export.tuning.search.loss_against", _loses(0.0))
    said: list[str] = []
    tuning = Tuning(Request(precisions=("int8",)), timer=clock, progress=said.append)
    failing = "first"
    result = tune_bundle(exported[0]["float32"], tmp_path / "x.treadle", tuning)
    assert result.report is exported[1]["int8"]
    assert str(result.chosen.candidate) == "int8 not folded"
    assert asked == [(True, "int8"), (False, "int8")]
    assert "int8 is struck out: over its tolerance" in said
    failing = "all"
    with pytest.raises(QualityError, match="lost on the test"):
        tune_bundle(exported[0]["float32"], tmp_path / "x.treadle", tuning)


def _digests() -> Any:
    numbers = iter(range(100))
    return lambda *_: (str(next(numbers)), 100)


def _loses(share: float) -> Any:
    return lambda *_: Loss("made up", lambda _: share, lambda _: 0.01)


def test_a_bundle_in_the_way_is_found_before_anything_is_timed(
    run: Run, exported: Exported, tmp_path: Path
) -> None:
    taken = tmp_path / "x.treadle"
    taken.mkdir()
    said: list[str] = []
    tuning = Tuning(progress=said.append, timer=lambda *_: pytest.fail("timed"))
    with pytest.raises(ExportError, match="exists already"):
        tune_run(run, taken, tuning)
    with pytest.raises(ExportError, match="exists already"):
        tune_bundle(exported[0]["float32"], taken, tuning)
    with pytest.raises(ExportError, match="exists already"):
        tune_foreign(foreign("GRU"), taken, tuning)
    encode = Tuning(Request((Workload("encode", 8, 1),)), progress=said.append)
    with pytest.raises(InputError, match=r"stateful has \(step, sequence\), got encode:8x1"):
        tune_foreign(foreign("GRU"), tmp_path / "y.treadle", encode)
    assert said == []


@pytest.mark.parametrize("option", [["--workload", "step:1"], ["--rounds", "2"], ["--plot", "x"]])
def test_options_of_tuning_belong_to_it(option: list[str]) -> None:
    for command in (export_command, requantize_command):
        done = CliRunner().invoke(command, ["x", "--out", "y.treadle", *option])
        assert done.exit_code == 2
        assert f"{option[0]} belongs to --tune" in done.stderr


def test_a_tuned_plan_leaves_nothing_to_tune(
    tuned: tuple[Path, Path, dict[str, Any], str], tmp_path: Path
) -> None:
    arguments = ["x", "--out", str(tmp_path / "y.treadle"), "--plan", str(tuned[1]), "--tune"]
    done = CliRunner().invoke(export_command, arguments)
    assert done.exit_code == 2
    assert "this --plan was tuned already" in done.stderr
    assert read_plan(tuned[1]).precision == "int8"


def test_a_picture_without_a_folder_is_found_before_anything_is_timed(tmp_path: Path) -> None:
    arguments = ["x", "--out", str(tmp_path / "y.treadle"), "--tune"]
    done = CliRunner().invoke(
        export_command, [*arguments, "--plot", str(tmp_path / "no" / "x.png")]
    )
    assert isinstance(done.exception, ExportError)
    assert "expected a folder" in str(done.exception)
    done = CliRunner().invoke(export_command, [*arguments, "--workload", "step"])
    assert isinstance(done.exception, InputError)
