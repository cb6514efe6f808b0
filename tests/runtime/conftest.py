"""Tiny models, opened once: streams of one model do not feel each other, so tests may share it."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.runtime.tiny_bundles import FEATURES, write_language_model, write_transducer
from treadle.loading import load
from treadle.packing import pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.model import Model


@pytest.fixture(scope="session")
def characters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """An LSTM over ids: its operators give a row the same bits alone and in company."""
    with load(write_language_model(tmp_path_factory.mktemp("characters"))) as model:
        yield model


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """An LSTM over float32 vectors."""
    with load(
        write_language_model(tmp_path_factory.mktemp("features"), features=FEATURES)
    ) as model:
        yield model


@pytest.fixture(scope="session")
def pronounce(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An attention decoder whose hidden state starts from the encoder."""
    with load(write_transducer(tmp_path_factory.mktemp("pronounce"))) as model:
        yield model


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that is only read."""
    return write_language_model(tmp_path_factory.mktemp("directory"))


@pytest.fixture(scope="session")
def packed(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, packed."""
    return pack(directory, tmp_path_factory.mktemp("packed") / "x.treadle.zip")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; empty."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path
