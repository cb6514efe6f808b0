"""What several tests of the training stage share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.train.resuming import without_curves
from tests.train.tiny import tiny_words

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def _no_curves() -> Iterator[None]:
    with without_curves():
        yield


@pytest.fixture
def tiny_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the dictionary, which takes seconds to open."""
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: tiny_words())
