"""Runs and bundles that several tests of the export stage share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import treadle.data
from tests.export.captures import captures_once, operators_once
from tests.export.small_models import made_up_words, untrained_run
from tests.train.resuming import without_curves
from treadle_export.exporting.exporter import export_run

# Before anything imports Keras, which otherwise looks for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "torch")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.selfcheck import Report
    from treadle_train.run import Run


@pytest.fixture(scope="session", autouse=True)
def _nothing_twice() -> Iterator[None]:
    """What takes long and is the same in every test is done once."""
    with without_curves(), operators_once(), captures_once():
        yield


@pytest.fixture(scope="session")
def made_up() -> Iterator[None]:
    """The made-up language under its name, for as long as the tests run."""
    treadle.data.DATASETS["made-up"] = made_up_words
    yield
    del treadle.data.DATASETS["made-up"]


@pytest.fixture(scope="session")
def run(made_up: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return untrained_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def exported(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Path], dict[str, Report]]:
    """The run's bundles by precision, and the ladders climbed on the way."""
    folder = tmp_path_factory.mktemp("bundles")
    outs = {name: folder / f"made-up-{name}.treadle" for name in ("float32", "int8")}
    return outs, export_run(run, outs)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in this hook, too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What several tests start from is made by one worker: once, not once in each."""
    here = Path(__file__).parent
    for item in items:
        group = _start_of(item) if here in item.path.parents else None
        if group is not None and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(group))


def _start_of(item: pytest.Item) -> str | None:
    """What takes long to make and is there before a test of exports begins; None for nothing."""
    module = getattr(item, "module", None)
    fixtures = set(getattr(item, "fixturenames", ()))
    if hasattr(module, "canonical") or hasattr(module, "lowered"):
        return "small models"
    if "made" in fixtures:
        parameters = getattr(item, "callspec", None)
        kind = parameters.params.get("made") if parameters is not None else None
        return f"{item.path.stem} {kind}"
    if {"exported", "run"} & fixtures:
        return "made-up run"
    return None
