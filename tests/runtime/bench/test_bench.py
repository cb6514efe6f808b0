"""`treadle bench` on tiny bundles: every scenario, every kind of model, both kinds of output."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from tests.runtime.tiny_bundles import (
    write_language_model,
)
from treadle import cli
from treadle.bench import loadgen, processes
from treadle.bench.operators import COUNTED, shares
from treadle.bench.report import FRESH, measured
from treadle.bench.sampling import Patience
from treadle.bench.scenarios import LOADS, SCENARIOS, Sizes
from treadle.errors import BundleError, DeviceError, InputError
from treadle.packing import pack

if TYPE_CHECKING:
    from pathlib import Path

    Output = pytest.CaptureFixture[str]

HASTE = Patience(tight=0.5, calls=20, seconds=0.05)
FEW = Sizes(rows=3, chunk=4, steps=9, streams=5, rate=100.0, frame_ms=2.0)


@pytest.fixture(autouse=True)
def few_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STARTS", 2)


@pytest.mark.parametrize("kind", ["characters", "pronounce", "whole"])
def test_every_scenario_that_fits_is_measured(kind: str, bundles: dict[str, Path]) -> None:
    every = [*SCENARIOS] if kind != "whole" else ["sequence"]
    document = measured(bundles[kind], scenarios=every, sizes=FEW, patience=HASTE)
    names = [one["scenario"] for one in document["scenarios"]]
    if kind == "whole":
        assert names == ["sequence"]
    else:
        single = ["step", "chunk", "sequence", "first-symbol", "symbol"]
        assert names == [*single, "pool", *["load"] * len(LOADS), "real-time"]
    for one in document["scenarios"]:
        assert one["calls"] >= 5
        assert 0 < one["interval_us"][0] <= one["p50_us"] <= one["worst_us"]
        assert sum(one["histogram"]["counts"]) == one["calls"]
    assert document["engine"]["threads"] == 1
    assert document["bundle"]["bytes"] > 1000
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize("kind", ["characters", "pronounce"])
def test_a_step_is_divided_among_its_operators(
    kind: str, bundles: dict[str, Path], capsys: Output
) -> None:
    document = measured(bundles[kind], scenarios=["operators"], sizes=FEW, patience=HASTE)
    step = document["step"]
    assert sum(one["us"] for one in step["operators"]) == pytest.approx(step["engine_us"])
    counts = {one["operator"]: one["count"] for one in step["operators"]}
    assert counts["LSTM"] == 1
    assert counts["the call itself"] == 0
    assert step["python_us"] == max(step["step_us"] - step["engine_us"], 0)
    arguments = ["bench", str(bundles[kind]), "--scenario", "operators", "--seconds", "0.05"]
    assert cli.run(arguments) == 0
    said = capsys.readouterr().out
    assert "a step of" in said
    assert "LSTM" in said


def test_shares_are_of_calls_and_add_up() -> None:
    """Two operators: one until the next begins, the other until the call ends."""
    events: list[dict[str, Any]] = [{"name": "session_initialization", "ts": 0, "dur": 900}]
    for start in range(1000, 1000 + 100 * COUNTED, 100):
        first, second = (
            {"cat": "Node", "name": f"{kind}_kernel_time", "ts": ts, "dur": 0, "args": {}}
            for kind, ts in (("a", start + 2), ("b", start + 12))
        )
        first["args"], second["args"] = {"op_name": "Gemm"}, {"op_name": "Tanh"}
        before = first | {"name": "a_fence_before"}
        events += [before, first, second, {"name": "model_run", "ts": start, "dur": 20}]
    found = shares(events, 40.0)
    assert found == {"Gemm": (1, 20.0), "Tanh": (1, 16.0), "the call itself": (0, 4.0)}


def test_a_pool_that_cannot_keep_up_misses_and_says_so(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are late by what those before them took, not only by their own call."""
    from treadle.pool import Pool

    quick = measured(bundles["characters"], scenarios=["pool"], sizes=FEW, patience=HASTE)
    genuine = Pool.step

    def slow(self: Pool, inputs: Any) -> Any:
        import time

        time.sleep(0.03)
        return genuine(self, inputs)

    monkeypatch.setattr(Pool, "step", slow)
    late = measured(bundles["characters"], scenarios=["pool"], sizes=FEW, patience=HASTE)
    (before,), (after,) = quick["scenarios"], late["scenarios"]
    assert after["calls"] == before["calls"] == 25  # 5 streams, 5 rounds of 10 ms
    assert after["misses"] == 25
    assert after["busy"] > 1
    assert after["worst_us"] > 3 * 30_000  # five rounds of 30 ms are due within 50 ms


def test_a_process_of_its_own_tells_its_stages_and_its_memory(bundles: dict[str, Path]) -> None:
    path = pack(bundles["characters"], bundles["characters"].with_suffix(".zip"))
    document = measured(path, scenarios=[FRESH], sizes=FEW, patience=HASTE)
    cold, memory = document["cold_start"], document["memory"]
    stages = [cold[f"{stage}_ms"] for stage in ("process", "import", "load", "first_step")]
    assert min(stages) > 0
    assert cold["total_ms"] >= max(stages)
    assert memory["idle_processors"] < 0.5
    if memory["load_bytes"] is not None:
        assert 0 < memory["import_bytes"] <= memory["load_bytes"] <= memory["peak_bytes"]


def test_the_command_prints_tables_and_compares_reports(
    bundles: dict[str, Path], tmp_path: Path, capsys: Output
) -> None:
    arguments = ["bench", str(bundles["characters"]), "--scenario", "step", "--seconds", "0.05"]
    assert cli.run(arguments) == 0
    said = capsys.readouterr()
    assert "measure step" in said.err
    assert "step (rows 1)" in said.out
    assert "threads: 1" in said.out
    assert cli.run([*arguments, "--json"]) == 0
    written = tmp_path / "a.json"
    written.write_text(capsys.readouterr().out)
    assert cli.run(["bench", "--compare", str(written), str(written)]) == 0
    assert "no difference shown" in capsys.readouterr().out
    assert cli.run(["bench", "--compare", str(written), str(written), "--json"]) == 0
    [ratio] = json.loads(capsys.readouterr().out)
    assert ratio["ratio"] == 1.0
    assert cli.run(["bench"]) == 2
    assert cli.run(["bench", "--compare", str(tmp_path / "none"), str(written)]) == 1
    assert "expected a report of `treadle bench --json` in" in capsys.readouterr().err


def test_a_page_holds_everything_itself(
    bundles: dict[str, Path], tmp_path: Path, capsys: Output
) -> None:
    out = tmp_path / "report.html"
    both = [str(bundles[kind]) for kind in ("characters", "pronounce")]
    names = ("step", "load", "operators", "cold-start")
    wanted = [part for name in names for part in ("--scenario", name)]
    asked = ["bench", *both, *wanted, "--streams", "3", "--seconds", "0.05"]
    assert cli.run([*asked, "--html", str(out), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    text = out.read_text(encoding="utf-8")
    assert "http" not in text
    assert "<script" not in text
    pictures = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(pictures) == 1 + 2 * 2  # all bundles; of each the step, and latency against load
    for picture in pictures:
        numbers = [float(n) for n in re.findall(r'[xy12c]+="(-?[\d.]+)"', picture)]
        assert all(-1 <= number <= 700 for number in numbers)
        ElementTree.fromstring(picture)
    for what in ("size, quality and latency", "latency against load", "cold start", "LSTM"):
        assert what in text


@pytest.mark.parametrize("scenario", loadgen.SCENARIOS)
def test_loadgen_drives_the_same_calls(scenario: str, bundles: dict[str, Path]) -> None:
    pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")
    some = Sizes(streams=4, rate=200.0)
    patience = Patience(calls=300, seconds=0.3)
    document = measured(bundles["characters"], scenarios=[scenario], sizes=some, patience=patience)
    assert document["scenarios"] == []
    [told] = document["loadgen"]
    assert told["scenario"] == scenario == told["summary"]["Scenario"].replace(" ", "")
    assert isinstance(told["valid"], bool)
    assert told["summary"]["min_duration (ms)"] == 300
    assert any("percentile latency" in name or "Samples per" in name for name in told["summary"])


def test_an_error_in_a_step_comes_out_of_loadgen(
    bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")

    def broken(*_: Any) -> None:
        raise ArithmeticError("no step today")

    monkeypatch.setattr("treadle.stream.Stream.step", broken)
    with pytest.raises(ArithmeticError, match="no step today"):
        measured(
            bundles["characters"],
            scenarios=["SingleStream"],
            sizes=FEW,
            patience=Patience(calls=10, seconds=0.1),
        )


def test_what_does_not_fit_is_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    def asked(bundle: Path, **given: Any) -> None:
        measured(bundle, **{"sizes": FEW, "patience": HASTE, **given})

    with pytest.raises(InputError, match="can be measured in sequence, cold-start, got 'step'"):
        asked(bundles["whole"], scenarios=["step"])
    with pytest.raises(BundleError, match="whose input is what is measured with, got none"):
        asked(write_language_model(tmp_path), scenarios=["step"])
    with pytest.raises(InputError, match="expected rows to be at least 1, got 0"):
        Sizes(rows=0)
    with pytest.raises(InputError, match="a rate and a frame's milliseconds above 0"):
        Sizes(rate=0.0)
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        with pytest.raises(DeviceError, match="expected processors of"):
            asked(bundles["characters"], pin=[100_000])
        one = min(before)
        asked(bundles["characters"], scenarios=["step"], pin=[one])
        assert os.sched_getaffinity(0) == before
