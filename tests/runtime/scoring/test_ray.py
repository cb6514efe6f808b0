"""Actors of a local Ray cluster: the same parts as in one process, though one is killed at work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runtime.scoring.test_score_files import contents, until, words, written
from tests.runtime.tiny_bundles import write_transducer
from treadle.errors import TreadleError
from treadle.scoring import score_files
from treadle.scoring.engines import ENGINES, answer_with_ray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from treadle.scoring.worker import Work

pytest.importorskip("onnxruntime")
pytest.importorskip("ray", reason="needs Ray (extra ray)")
pytestmark = [
    pytest.mark.slow,  # a cluster takes half a minute to start and to stop
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the actors in /proc"),
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # of its own settings
]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def actors() -> set[int]:
    """The processes that Ray Data has made of our class."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"MapWorker" in (process / "cmdline").read_bytes():
                found.add(int(process.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def test_a_killed_actor_costs_no_row_and_doubles_none(tmp_path: Path) -> None:
    bundle, out, local = write_transducer(tmp_path), tmp_path / "out", tmp_path / "local"
    path = written(tmp_path / "a.jsonl", words(12_000))
    score_files(bundle, [path], local, rows=100, options={"beam": 6})
    command = [sys.executable, "-m", "treadle", "score", str(bundle), str(path), "--out", str(out)]
    command += ["--rows", "100", "--beam", "6", "--engine", "ray", "--workers", "2"]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True)
    until(lambda: len(list(out.glob("part-*"))) >= 5, running)
    killed = min(actors())
    os.kill(killed, signal.SIGKILL)
    there = len(list(out.glob("part-*")))
    assert there < 100, "the actor was killed too late to matter"
    assert running.wait(timeout=300) == 0
    assert contents(out) == contents(local)
    assert not list(out.glob(".part*"))


def test_the_other_engine_goes_on_with_what_one_began(tmp_path: Path) -> None:
    bundle, out, local = write_transducer(tmp_path), tmp_path / "out", tmp_path / "local"
    path = written(tmp_path / "a.jsonl", words(60))
    score_files(bundle, [path], local, rows=5)

    def stop(done: int, _: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_files(bundle, [path], out, rows=5, progress=stop)
    scored = score_files(bundle, [path], out, rows=5, engine="ray", workers=2)
    assert (scored.parts, scored.found) == (12, 4)
    assert contents(out) == contents(local)


def test_a_cluster_that_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:  # Ray itself tries for minutes
        raise ConnectionError("Failed to connect to Ray cluster at 192.0.2.1:6379")

    monkeypatch.setattr("ray.init", refuse)
    path = written(tmp_path / "a.jsonl", words(2))
    with pytest.raises(TreadleError, match=r"cannot connect to .*: Failed .* RAY_ADDRESS"):
        score_files(write_transducer(tmp_path), [path], tmp_path / "out", engine="ray")


def test_what_fails_in_an_actor_is_told_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, other = write_transducer(tmp_path), write_transducer(tmp_path, seed=1, name="other")
    path = written(tmp_path / "a.jsonl", words(6))

    def elsewhere(work: Work, parts: Sequence[int], workers: int) -> Iterator[int]:
        return answer_with_ray(replace(work, bundle=str(other)), parts, workers)

    monkeypatch.setitem(ENGINES, "ray", elsewhere)
    with pytest.raises(TreadleError, match="changed since the plan was made"):
        score_files(bundle, [path], tmp_path / "out", rows=2, engine="ray")
