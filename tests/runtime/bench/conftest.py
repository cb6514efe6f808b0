"""Bundles to measure: small ones of every kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.runtime.fuzzing.sound import with_a_golden_trace
from tests.runtime.tiny_bundles import (
    FEATURES,
    reseal,
    write_language_model,
    write_whole_sequence,
)
from treadle.golden import GOLDEN_FILE, Golden

if TYPE_CHECKING:
    from pathlib import Path


def with_inputs(bundle: Path, inputs: np.ndarray) -> Path:
    """The bundle with a trace of which only the inputs are of use here."""
    none = np.zeros(0, np.int64)
    golden = Golden(none, inputs, {}, none, none, {}, {}, {})
    (bundle / GOLDEN_FILE).write_bytes(golden.to_bytes())
    document = json.loads((bundle / "manifest.json").read_text())
    document["files"][GOLDEN_FILE] = {"sha256": "", "bytes": 0}
    reseal(bundle, document)
    return bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bench")
    ids, numbers = np.arange(12) % 9, np.linspace(-1, 1, 12 * FEATURES, dtype=np.float32)
    whole = write_whole_sequence(folder)
    return {
        "characters": with_inputs(write_language_model(folder), ids),
        "whole": with_inputs(whole, numbers.reshape(12, FEATURES)),
        "pronounce": with_a_golden_trace(folder),
    }
