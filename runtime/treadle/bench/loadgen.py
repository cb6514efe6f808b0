"""MLPerf's LoadGen drives the same calls, by its own rules; from the package `mlcommons-loadgen`.

Reddi et al., "MLPerf inference benchmark", 2020. A query is one time step of one stream.
SingleStream sends the next when the last one is answered. Server sends them at random, as many a
second as asked, and a pool takes whatever has come. Offline sends all at once.
"""

from __future__ import annotations

import itertools
import queue
import re
import tempfile
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.bench.at_a_rate import Company
from treadle.bench.inputs import Inputs
from treadle.errors import DeviceError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from treadle.bench.sampling import Patience
    from treadle.bench.scenarios import Sizes
    from treadle.model import Model

SCENARIOS = ("SingleStream", "Server", "Offline")
_SUMMARY = "mlperf_log_summary.txt"
_LINE = re.compile(r"^(.*?)\s*:\s*(.*?)\s*$", re.MULTILINE)
_SAMPLES = 1024  # of LoadGen's library; all are in memory, as the recorded input is


def driven(scenario: str, model: Model, sizes: Sizes, patience: Patience) -> dict[str, Any]:
    """What LoadGen says of one of its scenarios: `valid`, and every line of its summary.

    Raises InputError for another scenario, DeviceError where the package is missing or LoadGen
    wrote no summary, and what a step raised.
    """
    if scenario not in SCENARIOS:
        raise InputError(f"LoadGen's scenarios here are {', '.join(SCENARIOS)}, got {scenario!r}")
    loadgen = _package()
    failed: list[Exception] = []
    with ExitStack() as opened, tempfile.TemporaryDirectory() as folder:
        issue = opened.enter_context(_Answering(loadgen, scenario, model, sizes, failed))
        tested = loadgen.ConstructSUT(issue, lambda: None)
        library = loadgen.ConstructQSL(_SAMPLES, _SAMPLES, lambda _: None, lambda _: None)
        try:
            settings = _settings(loadgen, scenario, sizes, patience)
            loadgen.StartTestWithLogSettings(tested, library, settings, _logs(loadgen, folder))
        finally:
            loadgen.DestroyQSL(library)
            loadgen.DestroySUT(tested)
        if failed:
            raise failed[0]
        return _told(Path(folder) / _SUMMARY, scenario)


def _package() -> ModuleType:
    try:
        import mlperf_loadgen
    except ImportError as error:
        raise DeviceError(
            "LoadGen is not installed; pip install mlcommons-loadgen, or 'treadle[bench]'"
        ) from error
    module: ModuleType = mlperf_loadgen
    return module


def _settings(loadgen: ModuleType, scenario: str, sizes: Sizes, patience: Patience) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = int(patience.seconds * 1000)
    settings.min_query_count = patience.calls if scenario != "Offline" else 1
    settings.server_target_qps = sizes.rate * sizes.streams
    settings.server_target_latency_ns = int(1e9 / sizes.rate)
    settings.offline_expected_qps = patience.calls / patience.seconds
    return settings


def _logs(loadgen: ModuleType, folder: str) -> Any:
    output = loadgen.LogOutputSettings()
    output.outdir = folder
    output.copy_summary_to_stdout = False
    settings = loadgen.LogSettings()
    settings.log_output = output
    settings.enable_trace = False
    return settings


def _told(summary: Path, scenario: str) -> dict[str, Any]:
    if not summary.exists():
        raise DeviceError(f"LoadGen wrote no summary of {scenario}")
    lines = dict(_LINE.findall(summary.read_text(encoding="utf-8")))
    numbers = {name: _number(value) for name, value in lines.items()}
    return {"scenario": scenario, "valid": lines.get("Result is") == "VALID", "summary": numbers}


def _number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


class _Answering:
    """Queries answered: at once by a stream, or by a thread that lets a pool take what waits."""

    def __init__(
        self,
        loadgen: ModuleType,
        scenario: str,
        model: Model,
        sizes: Sizes,
        failed: list[Exception],
    ) -> None:
        self._loadgen, self._failed = loadgen, failed
        self._alone, self._model, self._sizes = scenario == "SingleStream", model, sizes
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._opened = ExitStack()

    def __enter__(self) -> Callable[[list[Any]], None]:
        if self._alone:
            inputs = Inputs.of(self._model)
            stream = self._opened.enter_context(closing(inputs.stream(self._model, 1)))
            following = itertools.cycle(inputs.steps(1)).__next__
            return lambda queries: self._answer(lambda: stream.step(following()), queries)
        company = Company(self._model, self._sizes.streams)
        self._opened.enter_context(closing(company))
        thread = threading.Thread(target=self._serve, args=(company,), daemon=True)
        thread.start()
        self._opened.callback(thread.join)
        self._opened.callback(self._waiting.put, None)
        return self._wait

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def _wait(self, queries: list[Any]) -> None:
        for query in queries:
            self._waiting.put(query)

    def _serve(self, company: Company) -> None:
        """Take what waits, at most one query a stream, until None comes."""
        frame = itertools.count()
        while (first := self._waiting.get()) is not None:
            taken = [first]
            while len(taken) < self._sizes.streams and not self._waiting.empty():
                query = self._waiting.get()
                if query is None:
                    self._waiting.put(None)
                    break
                taken.append(query)
            frames = list(itertools.islice(frame, len(taken)))
            self._answer(lambda frames=frames: company.step(frames), taken)  # type: ignore[misc]

    def _answer(self, call: Callable[[], object], queries: list[Any]) -> None:
        """Make a call, and tell LoadGen that it is done; it waits for an answer to every query."""
        try:
            if not self._failed:
                call()
        except Exception as error:  # noqa: BLE001 - an error in a callback would end the process
            self._failed.append(error)
        response = self._loadgen.QuerySampleResponse
        self._loadgen.QuerySamplesComplete([response(query.id, 0, 0) for query in queries])
