"""The model that all of them run, and where memory cannot be read no test of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.memory import resident_bytes
from tests.runtime.tiny_bundles import write_language_model
from treadle.loading import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.model import Model


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language_model(tmp_path_factory.mktemp("endurance"))


@pytest.fixture(scope="session")
def model(bundle: Path) -> Iterator[Model]:
    with load(bundle) as model:
        yield model


@pytest.fixture
def _memory_can_be_read() -> None:
    if not resident_bytes():
        pytest.skip("this system has no /proc/self/statm that tells the resident memory")
