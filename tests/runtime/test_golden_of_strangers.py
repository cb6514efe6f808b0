"""A golden trace whose arrays do not fit its graphs is an error of the bundle."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import treadle
from tests.runtime.fuzzing.sound import with_a_golden_trace
from treadle import selfcheck
from treadle.golden import Golden

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_a_golden_trace(tmp_path_factory.mktemp("golden"))


def test_a_trace_that_fits_is_replayed(bundle: Path) -> None:
    with treadle.load(bundle) as model:
        report = selfcheck.verify(model)
    assert report.passed
    assert {rung.name for rung in report.rungs} == {"stream", "batch", "chunk"}
    assert set(report.invariance) == {"batch", "chunk", "promised"}


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": np.array([2**31])},
        {"columns": np.array([0.5])},
        {"checkpoints": np.array([900])},
        {"checkpoints": np.zeros(0, np.int64)},
        {"inputs": np.zeros(2, np.int64)},
        {"inputs": np.zeros((30, 2), np.int64)},
        {"inputs": np.full(30, 99)},
        {"inputs": np.array("text")},
        {"source": np.zeros((2, 2), np.int64)},
        {"source": np.full(3, -1)},
        {"outputs": {}},
        {"choices": {"torch": np.zeros(7, np.int64)}},
        {"state": {"surprise": np.zeros((3, 1), np.float32)}},
    ],
)
def test_a_trace_that_does_not_fit(bundle: Path, changes: dict[str, Any]) -> None:
    with treadle.load(bundle) as model:
        golden = Golden.from_bytes(model.bundle.read("golden.npz"))
        changed = dataclasses.replace(golden, **changes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(selfcheck, "_golden", lambda _: changed)
            with pytest.raises(treadle.TreadleError):
                selfcheck.verify(model)
