"""What several tests of the training stage share."""

from __future__ import annotations

import pytest

from tests.train.tiny import tiny_words


@pytest.fixture
def tiny_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the dictionary, which takes seconds to open."""
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: tiny_words())
