"""A bundle over files of rows: a line a row, in parts that are whole, gone on with and checked."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle
from tests.runtime.tiny_bundles import (
    reseal,
    write_generator,
    write_language_model,
    write_transducer,
)
from treadle import cli
from treadle.errors import BundleError, InputError, TreadleError
from treadle.scoring import score_files
from treadle.scoring.answers import answers_to
from treadle.scoring.engines import answer_here

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.generator import Generator
    from treadle.transducer import Transducer

pytest.importorskip("onnxruntime")

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_transducer(tmp_path_factory.mktemp("bundles"))


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines_of(out: Path) -> list[Any]:
    parts = sorted(out.glob("part-*.jsonl"))
    return [json.loads(line) for part in parts for line in part.read_text("utf-8").splitlines()]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("part-*")}


def words(count: int) -> list[dict[str, Any]]:
    letters = "abcdefgh"
    return [
        {"text": "".join(letters[(i * k + k) % 8] for k in range(1 + i % 5)), "id": i}
        for i in range(count)
    ]


def test_each_row_has_its_line_with_what_the_model_says(bundle: Path, tmp_path: Path) -> None:
    rows = words(23)
    first, second = written(tmp_path / "a.jsonl", rows[:9]), written(tmp_path / "b.jsonl", rows[9:])
    options = {"beam": 3, "n_best": 2}
    scored = score_files(bundle, [first, second], tmp_path / "out", rows=4, options=options)
    assert (scored.rows, scored.errors, scored.parts, scored.found) == (23, 0, 3 + 4, 0)
    with treadle.load(bundle) as model:
        expected = model.transduce([row["text"] for row in rows], beam=3, n_best=2)
    lines = lines_of(tmp_path / "out")
    assert [line["input"] for line in lines] == rows
    for line, hypotheses in zip(lines, expected, strict=True):
        found = line["answer"]["hypotheses"]
        assert [one["text"] for one in found] == [one.text for one in hypotheses]
        assert [one["score"] for one in found] == pytest.approx([h.score for h in hypotheses])


def test_a_row_without_an_answer_says_why_and_holds_up_none(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = ['{"text": "ab"}', "broken", '{"text": "xyz"}', '{"text": ""}', '{"word": "a"}']
    lines += ['{"text": 7}', '{"text": null}', '{"text": "cd"}']
    path.write_text("\n".join(lines))
    scored = score_files(bundle, [path], tmp_path / "out")
    assert (scored.rows, scored.errors) == (8, 6)
    errors = [line.get("error", "") for line in lines_of(tmp_path / "out")]
    assert errors[0] == errors[7] == ""
    assert errors[1].startswith("expected a JSON object")
    assert "the symbol 'x' at position 0" in errors[2]
    assert "at least one symbol" in errors[3]
    assert errors[4] == errors[6] == "expected a value in the column 'text', got none"
    assert errors[5] == "expected a text, got int 7"
    assert lines_of(tmp_path / "out")[1]["input"] == "broken"


@given(good=st.lists(st.booleans(), max_size=9))
def test_halving_finds_every_row_that_fails(pronounce: Transducer, good: list[bool]) -> None:
    answers = answers_to(pronounce, ["abc" if fine else "xyz" for fine in good], {"beam": 1})
    [[expected]] = pronounce.transduce("abc", beam=1)
    assert ["answer" in answer for answer in answers] == good
    for answer in answers:
        if "answer" in answer:
            assert answer["answer"]["hypotheses"][0]["text"] == expected.text


def test_what_json_cannot_hold_is_written_as_it_can(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "ab", "x": NaN, "y": [Infinity], "z": "\\ud800"}\n')
    score_files(bundle, [path], tmp_path / "out")
    [line] = lines_of(tmp_path / "out")
    assert line["input"] == {"text": "ab", "x": None, "y": [None], "z": "\ud800"}


def test_no_rows_are_no_parts(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n")
    scored = score_files(bundle, [tmp_path / "a.csv"], tmp_path / "out")
    assert (scored.rows, scored.parts) == (0, 0)


def test_it_goes_on_where_it_stopped(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = written(tmp_path / "a.jsonl", words(12)), tmp_path / "out"
    whole = tmp_path / "whole"
    score_files(bundle, [path], whole, rows=3)

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_files(bundle, [path], out, rows=3, progress=stop)
    assert sorted(contents(out)) == ["part-00000.jsonl", "part-00001.jsonl"]
    (out / ".part-00002.jsonl.0badcafe.tmp").write_bytes(b"half")  # of a process that was killed
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    monkeypatch.chdir(tmp_path)
    scored = score_files(bundle, ["a.jsonl"], "out", rows=3)  # the same file under another name
    assert (scored.parts, scored.found) == (4, 2)
    assert contents(out) == contents(whole)
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert not list(out.glob(".part*"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rows": 2}, "rows, parts differ"),
        ({"column": "id"}, "column differs"),
        ({"options": {"beam": 2}}, "options differs"),
        ({"unknown": "symbol"}, "unknown differs"),
    ],
)
def test_answers_to_another_plan_are_left_alone(
    bundle: Path, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    path, out = written(tmp_path / "a.jsonl", words(5)), tmp_path / "out"
    score_files(bundle, [path], out, rows=3)
    before = contents(out)
    with pytest.raises(InputError, match=named):
        score_files(bundle, [path], out, **{"rows": 3, **changes})
    written(path, words(6))
    with pytest.raises(InputError, match="sources, parts differ"):
        score_files(bundle, [path], out, rows=3)
    assert contents(out) == before


def test_a_directory_with_something_else_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", words(2))
    with pytest.raises(InputError, match="expected an empty directory"):
        score_files(bundle, [path], tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/plan.json").write_text("{")
    with pytest.raises(InputError, match="expected a plan"):
        score_files(bundle, [path], tmp_path / "out")
    with pytest.raises(InputError, match="cannot write into"):
        score_files(bundle, [path], path / "out")


def test_a_part_with_too_few_lines_is_found(bundle: Path, tmp_path: Path) -> None:
    path, out = written(tmp_path / "a.jsonl", words(4)), tmp_path / "out"
    score_files(bundle, [path], out, rows=2)
    part = out / "part-00001.jsonl"
    part.write_bytes(part.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(InputError, match=r"expected 2 lines in .*part-00001\.jsonl, got 1"):
        score_files(bundle, [path], out, rows=2)


def test_what_changes_under_the_work_is_found(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.jsonl", words(4))

    def changed(work: Any, parts: Any, workers: int) -> Any:
        written(path, words(5))
        return answer_here(work, parts, workers)

    monkeypatch.setitem(treadle.scoring.engines.ENGINES, "local", changed)
    with pytest.raises(InputError, match="changed since the plan was made"):
        score_files(bundle, [path], tmp_path / "out")
    other = write_transducer(tmp_path, seed=1)

    def exchanged(work: Any, parts: Any, workers: int) -> Any:
        bundle.rename(tmp_path / "aside")
        other.rename(bundle)
        return answer_here(work, parts, workers)

    monkeypatch.setitem(treadle.scoring.engines.ENGINES, "local", exchanged)
    try:
        with pytest.raises(BundleError, match="changed since the plan was made"):
            score_files(bundle, [path], tmp_path / "another")
    finally:
        bundle.rename(other)
        (tmp_path / "aside").rename(bundle)


def test_impossible_requests_are_refused_before_anything_is_written(
    bundle: Path, tmp_path: Path
) -> None:
    path, out = written(tmp_path / "a.jsonl", words(2)), tmp_path / "out"
    for options in ({"rows": 0}, {"workers": 0}, {"engine": "spark"}, {"options": {"beam": 0}}):
        with pytest.raises(InputError):
            score_files(bundle, [path], out, **options)
    with pytest.raises(InputError, match="at least one input"):
        score_files(bundle, [], out)
    assert not out.exists()
    with pytest.raises(InputError, match="one worker, got 2"):
        score_files(bundle, [path], out, workers=2)


def test_a_model_that_answers_no_rows_says_so(tmp_path: Path) -> None:
    bundle = write_language_model(tmp_path, features=5)
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    reseal(bundle, document | {"task": "stateful", "decoding": {}})
    path = written(tmp_path / "a.jsonl", words(2))
    with pytest.raises(TreadleError, match="not stateful"):
        score_files(bundle, [path], tmp_path / "out")


def test_a_language_model_says_how_likely_a_text_is(tmp_path: Path) -> None:
    bundle = write_language_model(tmp_path)
    path = written(tmp_path / "a.jsonl", [{"text": "abc"}, {"text": "a bad fed"}])
    score_files(bundle, [path], tmp_path / "out")
    with treadle.load(bundle) as model:
        for line in lines_of(tmp_path / "out"):
            expected = model.score(line["input"]["text"])
            assert line["answer"]["symbols"] == expected.count
            assert line["answer"]["log_probability"] == pytest.approx(-expected.nats.sum())
            assert line["answer"]["perplexity"] == pytest.approx(expected.perplexity)


def test_what_is_drawn_depends_on_the_row_and_not_on_the_part(tmp_path: Path) -> None:
    bundle = write_generator(tmp_path)
    with treadle.load(bundle) as model:
        generator: Generator = model
        label = generator.labels[0]
        options = {"temperature": 1.0, "seed": 5, "max_length": 12}
        values = [label] * 6
        whole = answers_to(generator, values, options)
        again = answers_to(generator, values, options)
        later = answers_to(generator, values, options, first=100)
    assert whole == again
    texts = [answer["answer"]["hypotheses"][0]["text"] for answer in whole]
    assert len(set(texts)) > 1
    assert later != whole


def test_the_command_answers_and_says_what_it_did(
    bundle: Path, tmp_path: Path, capsys: Output
) -> None:
    path = written(tmp_path / "a.jsonl", [*words(3), {"text": "xyz"}])
    arguments = ["score", str(bundle), str(path), "--out", str(tmp_path / "out")]
    assert cli.run([*arguments, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["rows"], document["errors"], document["found"]) == (4, 1, 0)
    assert cli.run(arguments) == 1
    assert capsys.readouterr().out.startswith("4 rows in 1 parts, 1 without an answer; 0 parts")
    assert cli.run([*arguments, "--unknown", "symbol"]) == 1
    assert "holds answers to another plan" in capsys.readouterr().err


def test_the_command_refuses_options_of_another_task(tmp_path: Path, capsys: Output) -> None:
    bundle = write_language_model(tmp_path)
    path = written(tmp_path / "a.jsonl", words(2))
    arguments = ["score", str(bundle), str(path), "--out", str(tmp_path / "out")]
    assert cli.run([*arguments, "--beam", "3"]) == 2
    assert "--beam has no meaning for the task language-modelling" in capsys.readouterr().err


def test_without_ray_the_error_names_the_pip_command(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = written(tmp_path / "a.jsonl", words(2))
    with pytest.raises(TreadleError, match=r"pip install 'treadle\[ray\]'"):
        score_files(bundle, [path], tmp_path / "out", engine="ray")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_leaves_whole_parts(bundle: Path, tmp_path: Path) -> None:
    path, out = written(tmp_path / "a.jsonl", words(3000)), tmp_path / "out"
    command = [sys.executable, "-m", "treadle", "score", str(bundle), str(path), "--out", str(out)]
    command += ["--rows", "3"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until(lambda: len(list(out.glob("part-*"))) >= 3, running)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors.strip()) == (130, "interrupted")
    left = contents(out)
    assert 3 <= len(left) < 1000
    assert all(content.count(b"\n") == 3 for content in left.values())
    assert not list(out.glob(".part*"))


def until(happened: Any, running: subprocess.Popen[str]) -> None:
    """Wait for something that another process does; fail when that ends before."""
    while not happened():
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)


def test_one_model_serves_all_parts(bundle: Path, tmp_path: Path) -> None:
    opened: list[Transducer] = []
    path = written(tmp_path / "a.jsonl", words(9))

    def counting(*given: Any, **named: Any) -> Any:
        opened.append(treadle.load(*given, **named))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("treadle.scoring.worker.load", counting)
        score_files(bundle, [path], tmp_path / "out", rows=2)
    assert len(opened) == 1
