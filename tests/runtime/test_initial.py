"""States that start from rows of the bundle's own, and files that hold none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
from tests.runtime.tiny_bundles import (
    HIDDEN,
    reseal,
    start_from_file,
    write_language_model,
)
from treadle.errors import BundleError
from treadle.npz import to_npz

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN_STATE, CELL_STATE = "recurrent.0.hidden", "recurrent.0.cell"
ROWS = {
    HIDDEN_STATE: np.linspace(-1, 1, HIDDEN, dtype=np.float32),
    CELL_STATE: np.linspace(2, -3, HIDDEN, dtype=np.float32),
}


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_from_file(write_language_model(tmp_path_factory.mktemp("learned")), dict(ROWS))


@given(rows=st.integers(1, 4), steps=st.integers(0, 5))
@settings(max_examples=10, deadline=None)
def test_every_row_starts_there_and_comes_back_there(learned: Path, rows: int, steps: int) -> None:
    with treadle.load(learned) as model, model.stream(batch_size=rows) as stream:
        for name, row in ROWS.items():
            assert np.array_equal(stream.state()[name], np.stack([row] * rows))
        first = stream.step(np.full(rows, 3))
        for _ in range(steps):
            stream.step(np.full(rows, 4))
        stream.reset([rows - 1])
        assert np.array_equal(stream.state()[HIDDEN_STATE][rows - 1], ROWS[HIDDEN_STATE])
        assert np.array_equal(stream.step(np.full(rows, 3))[rows - 1], first[rows - 1])


def test_the_rows_are_part_of_the_identity(learned: Path, tmp_path: Path) -> None:
    other = {**ROWS, CELL_STATE: ROWS[CELL_STATE] * 2}
    bundle = start_from_file(write_language_model(tmp_path), other)
    with treadle.load(learned) as one, treadle.load(bundle) as two:
        assert one.manifest.digest != two.manifest.digest


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({CELL_STATE: ROWS[CELL_STATE]}, "got none"),
        ({**ROWS, HIDDEN_STATE: np.zeros(HIDDEN + 1, np.float32)}, r"got float32 \[17\]"),
        ({**ROWS, HIDDEN_STATE: np.zeros(HIDDEN)}, "got float64"),
        ({**ROWS, HIDDEN_STATE: np.full(HIDDEN, 1.5, np.float32)}, "within its bound 1.0, got 1.5"),
        ({**ROWS, CELL_STATE: np.full(HIDDEN, np.nan, np.float32)}, "finite values"),
        ({**ROWS, CELL_STATE: np.full(HIDDEN, -np.inf, np.float32)}, "finite values"),
    ],
)
def test_rows_that_do_not_fit_are_named(rows: dict[str, Any], words: str, tmp_path: Path) -> None:
    bundle = start_from_file(write_language_model(tmp_path), dict(ROWS))
    (bundle / "initial.npz").write_bytes(to_npz(rows))
    reseal(bundle, json.loads((bundle / "manifest.json").read_text()))
    with pytest.raises(BundleError, match=words):
        treadle.load(bundle)


def test_a_file_that_is_no_npz_is_named(tmp_path: Path) -> None:
    bundle = start_from_file(write_language_model(tmp_path), dict(ROWS))
    (bundle / "initial.npz").write_bytes(b"nonsense")
    reseal(bundle, json.loads((bundle / "manifest.json").read_text()))
    with pytest.raises(BundleError, match=r"expected initial states in .*initial\.npz"):
        treadle.load(bundle)


def test_evidence_holds_no_state(tmp_path: Path) -> None:
    """The golden trace is outside of the digest: a state from there would not be identified."""
    with pytest.raises(BundleError, match=r"names 'golden\.npz', which is not in files of the mod"):
        start_from_file(write_language_model(tmp_path), dict(ROWS), "golden.npz")
