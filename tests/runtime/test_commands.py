"""The runtime's commands on tiny real bundles: what they print, and how they sit in a pipe."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import treadle
from tests.runtime.tiny_bundles import reseal, write_language_model, write_transducer
from treadle import cli
from treadle.commands.options import table
from treadle.evaluation import Evaluation

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("onnxruntime")

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def transducer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_transducer(tmp_path_factory.mktemp("bundles")))


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("bundles")
    bundle = write_language_model(directory)
    (directory / "text.txt").write_text("abc defg had a fed cab\n" * 20)
    document = json.loads((bundle / "manifest.json").read_text())
    options = {"path": str(directory / "text.txt")}
    document["evaluation"] = {
        "dataset": "text",
        "options": options,
        "metric": "bits_per_character",
    }
    reseal(bundle, document)
    return str(bundle)


def stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_inspect_with_json_is_the_manifest(transducer: str, capsys: Output) -> None:
    assert cli.run(["inspect", transducer, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    with treadle.load(transducer) as model:
        assert document == model.manifest.to_json()


def test_inspect_says_what_matters(transducer: str, capsys: Output) -> None:
    assert cli.run(["inspect", transducer]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("tiny-pronounce: transduction, float32, for cpu\n")
    assert "decoder.0.hidden [batch, 16]" in shown
    assert "keys [batch, memory, 16]" in shown
    assert "step.onnx" in shown


def test_run_answers_arguments_in_order(transducer: str, capsys: Output) -> None:
    assert cli.run(["run", transducer, "abc", "fed"]) == 0
    with treadle.load(transducer) as model:
        expected = [best.text for [best] in model.transduce(["abc", "fed"])]
    assert capsys.readouterr().out.splitlines() == expected


def test_run_prints_the_n_best_on_one_line(transducer: str, capsys: Output) -> None:
    arguments = ["run", transducer, "abc", "--beam", "3", "--n-best", "3"]
    assert cli.run(arguments) == 0
    line = capsys.readouterr().out.removesuffix("\n")
    assert line.count("\t") == 2
    assert cli.run([*arguments, "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)["answers"]
    assert answer["input"] == "abc"
    assert [h["text"] for h in answer["hypotheses"]] == line.split("\t")


def test_run_keeps_one_line_for_one_line(
    transducer: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, "abc\n\nxyz\r\nfed")
    assert cli.run(["run", transducer]) == 1
    captured = capsys.readouterr()
    lines = captured.out.split("\n")
    assert len(lines) == 5
    assert lines[1:3] == ["", ""]
    assert captured.err.startswith("error: in 'xyz', the symbol 'x' at position 0")
    stdin(monkeypatch, "abc\nfed\n")
    assert cli.run(["run", transducer]) == 0
    assert capsys.readouterr().out == f"{lines[0]}\n{lines[3]}\n"


def test_run_reports_a_bad_argument(transducer: str, capsys: Output) -> None:
    assert cli.run(["run", transducer, "", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "InputError"
    assert "at least one symbol" in error["message"]


@pytest.mark.parametrize("task", ["transducer", "language_model"])
def test_without_an_engine_the_error_names_the_pip_command(
    task: str, request: pytest.FixtureRequest, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for module in [name for name in sys.modules if name.startswith("onnxruntime.")]:
        monkeypatch.delitem(sys.modules, module)
    assert cli.run(["run", request.getfixturevalue(task), "abc", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "DeviceError"
    assert error["message"].endswith("pip install 'treadle[cpu]'")


def test_run_answers_in_a_pipe_before_the_next_line_comes(transducer: str) -> None:
    """A conversation: each answer is read before the next question is written."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from treadle.cli import main; main()", "run", transducer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        for word in ("abc", "fed", "abc"):
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            assert process.stdout.readline().endswith("\n")
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_run_ends_quietly_when_its_reader_has_gone(transducer: str) -> None:
    code = "from treadle.cli import main; main()"
    words = "abc\n" * 2000
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", transducer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, error = process.communicate(words, timeout=60)
    assert (process.returncode, error) == (0, "")


def test_run_continues_a_prompt(language_model: str, capsys: Output) -> None:
    arguments = ["run", language_model, "abc", "--max-length", "9", "--seed", "4"]
    assert cli.run(arguments) == 0
    shown = capsys.readouterr().out
    with treadle.load(language_model) as model:
        expected = "".join(model.generate("abc", max_length=9, seed=4))
    assert shown == f"abc{expected}\n"
    assert cli.run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "answers": [{"input": "abc", "continuation": expected}]
    }


def test_run_passes_on_how_to_draw_and_where_to_stop(language_model: str, capsys: Output) -> None:
    arguments = ["run", language_model, "abc", "--max-length", "30", "--seed", "4"]
    arguments += ["--min-p", "0.05", "--repetition-penalty", "1.5"]
    assert cli.run(arguments) == 0
    with treadle.load(language_model) as model:
        options = {"max_length": 30, "seed": 4, "min_p": 0.05, "repetition_penalty": 1.5}
        expected = "".join(model.generate("abc", **options))
        assert expected != "".join(model.generate("abc", max_length=30, seed=4))
    assert capsys.readouterr().out == f"abc{expected}\n"
    assert cli.run([*arguments, "--stop", "never", "--stop", expected[5:8]]) == 0
    assert capsys.readouterr().out == f"abc{expected[: expected.index(expected[5:8])]}\n"
    assert cli.run([*arguments, "--stop", ""]) == 1
    assert "stop strings of at least one character" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--min-p", "--repetition-penalty", "--stop"])
def test_options_of_drawing_are_wrong_usage_for_a_search(
    option: str, transducer: str, capsys: Output
) -> None:
    assert cli.run(["run", transducer, "a", option, "1"]) == 2
    assert f"{option} has no meaning for the task transduction" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--beam", "--n-best"])
def test_options_of_another_task_are_wrong_usage(
    option: str, language_model: str, transducer: str, capsys: Output
) -> None:
    assert cli.run(["run", language_model, "a", option, "1"]) == 2
    assert f"{option} has no meaning for the task language-modelling" in capsys.readouterr().err
    assert cli.run(["run", transducer, "a", "--seed", "0"]) == 2


def test_evaluate_a_bundle(language_model: str, capsys: Output) -> None:
    assert cli.run(["evaluate", language_model, "--limit", "20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["metric"], document["examples"]) == ("bits_per_character", 20)
    assert cli.run(["evaluate", language_model]) == 0
    assert "bits/character (lower is better), 46 examples of test" in capsys.readouterr().out


@dataclass(frozen=True)
class RunsPoint:
    """Stands for what the training room hangs on the entry-point group `treadle.runs`."""

    fault: ModuleNotFoundError | None = None

    def load(self) -> Any:
        if self.fault is not None:
            raise self.fault
        return lambda path, *, split, limit: Evaluation.of(
            "word_error_rate", float(len(f"{path.name}{split}")), examples=limit, seconds=0.0
        )


def test_evaluate_hands_a_run_to_the_room_that_trained_it(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.json").write_text("{}")

    def points(*found: RunsPoint) -> None:
        fake = types.SimpleNamespace(entry_points=lambda **_: list(found))
        monkeypatch.setattr("treadle.commands.evaluate.metadata", fake)

    points(RunsPoint())
    arguments = ["evaluate", str(tmp_path), "--split", "validation", "--limit", "3", "--json"]
    assert cli.run(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["value"], document["examples"]) == (len(f"{tmp_path.name}validation"), 3)
    points(RunsPoint(ModuleNotFoundError(name="torch")))
    assert cli.run(arguments) == 1
    assert "pip install 'treadle[train]'" in capsys.readouterr().out
    points()
    assert cli.run(arguments) == 1


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A self-check whose outcome the test decides."""
    rung = {
        "name": "step", "source": "replayed", "steps": 1000, "max_abs": 1.5e-7, "max_rel": 2e-6,
        "flips": 0, "first_step": None, "tolerance": 1e-5, "passed": True,
    }  # fmt: skip
    document = {
        "passed": True,
        "rungs": [rung],
        "invariance": {"batch": 0.0, "chunk": None, "promised": True},
    }
    made = types.SimpleNamespace(passed=True, document=document, to_json=lambda: document)
    module = types.ModuleType("treadle.selfcheck")
    module.verify = lambda _: made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "treadle.selfcheck", module)
    monkeypatch.setattr(treadle, "selfcheck", module, raising=False)
    return made


def test_verify_prints_an_aligned_table(
    transducer: str, report: types.SimpleNamespace, capsys: Output
) -> None:
    assert cli.run(["verify", transducer]) == 0
    header, rule, row, invariance, engine, signed, outcome = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["rung", "source", "steps"]
    assert len(header) == len(rule) == len(row)
    assert row.split() == ["step", "replayed", "1000", "1.5e-07", "2e-06", "0", "1e-05", "yes"]
    assert "in a batch 0, in chunks - (promised exact)" in invariance
    assert engine.endswith("CPUExecutionProvider on cpu, 1 thread, not spinning, an arena")
    assert (signed, outcome) == ("not signed", "passed")


def test_verify_exits_with_1_when_a_rung_fails(
    transducer: str, report: types.SimpleNamespace, capsys: Output
) -> None:
    report.passed = report.document["passed"] = False
    report.document["rungs"][0].update(passed=False, first_step=17)
    assert cli.run(["verify", transducer]) == 1
    shown = capsys.readouterr().out
    assert "NO, from step 17" in shown
    assert shown.endswith("FAILED\n")
    assert cli.run(["verify", transducer, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document.pop("engine")["provider"] == "CPUExecutionProvider"
    assert document == {**report.document, "signature": None}


def test_a_table_aligns_its_columns() -> None:
    assert table(["a", "bb"], [["ccc", "1"], ["d", "22222"]]) == (
        "a       bb\n---  -----\nccc      1\nd    22222"
    )
