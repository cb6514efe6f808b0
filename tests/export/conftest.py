"""Runs and bundles that several tests of the export stage share."""

from __future__ import annotations

import os
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
    from pathlib import Path

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the small models go to one worker: each of them is captured once, not once each."""
    for item in items:
        module = getattr(item, "module", None)
        if hasattr(module, "canonical") or hasattr(module, "lowered"):
            item.add_marker(pytest.mark.xdist_group("small models"))
