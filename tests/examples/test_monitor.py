"""The example that watches sensors, driven through its standard input and killed in between."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import treadle
import treadle.data
from tests.project.repository import ROOT
from tests.train.series import SEASON, open_waves, tiny_forecaster, waves
from treadle_export.exporting.exporter import export_run
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PROGRAM = ROOT / "examples" / "monitor.py"
STREAMS = ("a", "b", "c")
COUNT = 30
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    treadle.data.DATASETS["waves"] = open_waves
    folder = tmp_path_factory.mktemp("monitor")
    try:
        run = train(tiny_forecaster("training.epochs=1"), folder / "run", progress="none")
        export_run(run, {"int8": folder / "x.treadle"}, quality_limit=300)
    finally:
        del treadle.data.DATASETS["waves"]
    return folder / "x.treadle"


def lines_of(count: int = COUNT) -> list[str]:
    """The streams in turn, `count` frames each; one has a frame that is missing."""
    series = {name: waves(count, seed).values for seed, name in enumerate(STREAMS)}
    series["b"][SEASON + 3] = np.nan
    return [
        json.dumps({"stream": name, "time": 100 + time, "values": series[name][time].tolist()})
        for time in range(count)
        for name in STREAMS
    ]


def start(bundle: Path, state: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(bundle), "--state", str(state), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def answers(bundle: Path, state: Path, lines: Iterable[str]) -> tuple[list[Answer], str]:
    """What the program answers to the lines, and what it reports."""
    with start(bundle, state) as process:
        out, err = process.communicate("".join(f"{line}\n" for line in lines), timeout=60)
        assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()], err


def of(name: str, made: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in made if answer["stream"] == name]


@pytest.fixture(scope="module")
def whole(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    """The answers of a program that never stops."""
    made, err = answers(bundle, tmp_path_factory.mktemp("whole") / "state", lines_of())
    assert err == ""
    return made


def test_streams_between_each_other_are_those_of_a_stream_alone(
    bundle: Path, whole: list[Answer]
) -> None:
    assert [(one["stream"], one["time"]) for one in whole] == [
        (name, 100.0 + time) for time in range(COUNT) for name in STREAMS
    ]
    with treadle.load(bundle) as model, model.stream() as stream:
        expected: list[float] = []
        for count, (frame, answer) in enumerate(
            zip(waves(COUNT).values, of("a", whole), strict=True), 1
        ):
            [forecast] = model.forecasts(stream.step(frame[None]))
            if expected:
                low, median, high = expected
                value = float(frame[1])
                width = high - median if value > median else median - low
                assert answer["score"] == pytest.approx(abs(value - median) / width)
            if count < SEASON:
                assert answer["forecast"] is answer["score"] is None
                continue
            quantiles = {str(h): forecast.values[h - 1].tolist() for h in model.horizons}
            assert answer["forecast"] == quantiles
            expected = forecast.values[0].tolist()


def test_a_missing_frame_is_not_read(bundle: Path, whole: list[Answer], tmp_path: Path) -> None:
    missing = SEASON + 3
    assert of("b", whole)[missing]["forecast"] is of("b", whole)[missing]["score"] is None
    without = [line for line in lines_of() if "NaN" not in line]
    made, _ = answers(bundle, tmp_path / "state", without)
    rest = [one for one in of("b", whole) if one["time"] != 100 + missing]
    assert of("b", made) == rest


def test_killed_and_restarted_it_goes_on_to_the_bit(
    bundle: Path, whole: list[Answer], tmp_path: Path
) -> None:
    lines, state = lines_of(), tmp_path / "state"
    with start(bundle, state, "--every", "7") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = []
        for line in lines[:40]:  # one at a time, so that it saves in the midst of them
            process.stdin.write(line + "\n")
            process.stdin.flush()
            seen.append(json.loads(process.stdout.readline()))
        process.kill()
    made, err = answers(bundle, state, lines)
    assert err == ""
    known = len(lines) - len(made)
    assert 7 <= known < 40  # what was saved is skipped, what came after is answered again
    assert seen == whole[:40]
    assert made == whole[known:]
    assert answers(bundle, state, lines)[0] == []


@pytest.mark.parametrize(
    "line",
    [
        "pump",
        "[1, 2]",
        '{"stream": "a", "time": 1}',
        '{"stream": "a", "time": "soon", "values": [1, 2]}',
        '{"stream": "a", "time": NaN, "values": [1, 2]}',
        '{"stream": "a", "time": 1e999, "values": [1, 2]}',
        '{"stream": "a", "time": 1, "values": [1]}',
        '{"stream": "a", "time": 1, "values": ["x", 2]}',
        '{"stream": "a", "time": 1, "values": [[1], [2, 3]]}',
        '{"stream": "a", "time": ' + "9" * 400 + ', "values": [1, 2]}',
    ],
)
def test_what_makes_no_sense_is_refused(line: str, bundle: Path, tmp_path: Path) -> None:
    """In one process: the program itself is tried below."""
    monitor = load_example().Monitor(treadle.load(bundle), tmp_path / "state", 2, 10)
    with monitor.model:
        assert list(monitor.answers([line.encode()])) == []
        good = b'{"stream": "a", "time": 0, "values": [1, 2]}'
        assert [one["stream"] for one in monitor.answers([good])] == ["a"]


def test_a_malformed_line_is_reported_and_left_out(
    bundle: Path, whole: list[Answer], tmp_path: Path
) -> None:
    lines = lines_of()
    made, err = answers(bundle, tmp_path / "state", [*lines[:10], '{"stream": "a"', *lines[10:]])
    assert made == whole
    assert err.count("left out") == err.count("\n") == 1
    assert '{"stream": "a"' in err


def test_more_streams_than_there_may_be_are_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = load_example().Monitor(treadle.load(bundle), tmp_path / "state", 2, 10)
    with monitor.model:
        made = list(monitor.answers([line.encode() for line in lines_of()[:6]]))
    assert [one["stream"] for one in made] == ["a", "b", "a", "b"]
    assert capsys.readouterr().err.count("left out") == 2


def load_example() -> Any:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("monitor", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["monitor"] = module  # where its dataclass is looked for
    spec.loader.exec_module(module)
    return module
