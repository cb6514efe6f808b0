"""Bundles that a search cannot use say so, and do not end in a KeyError or never."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import treadle
from tests.runtime.tiny_bundles import reseal, write_language_model, write_transducer

if TYPE_CHECKING:
    from pathlib import Path


def with_decoding(bundle: Path, **decoding: Any) -> Any:
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    changed = {**document["decoding"], **decoding}
    document["decoding"] = {key: value for key, value in changed.items() if value is not None}
    reseal(bundle, document)
    return treadle.load(bundle)


@pytest.mark.parametrize("start", [None, "a", True, -1, 11, 1.0, 2**70, [0]])
def test_a_start_that_is_no_symbol(tmp_path: Path, start: Any) -> None:
    with with_decoding(write_language_model(tmp_path), start=start) as model:
        words = r"decoding.start of tiny-characters should be an integer in 0\.\.10"
        with pytest.raises(treadle.BundleError, match=words):
            model.generate("a", max_length=1)
        with pytest.raises(treadle.BundleError, match=words):
            model.score("a")


@pytest.mark.parametrize(
    ("decoding", "words"),
    [
        ({"start": 10}, r"decoding.start of .* integer in 0\.\.9"),
        ({"end": None}, r"decoding.end of .* integer in 0\.\.9"),
        ({"max_length": 0}, r"decoding.max_length of .* integer in 1\.\.65536"),
        ({"max_length": 2**62}, r"decoding.max_length of .* integer in 1\.\.65536"),
        ({"max_length": "7"}, r"decoding.max_length of .* integer in 1\.\.65536"),
    ],
)
def test_decoding_of_a_transducer(tmp_path: Path, decoding: dict[str, Any], words: str) -> None:
    with (
        with_decoding(write_transducer(tmp_path), **decoding) as model,
        pytest.raises(treadle.BundleError, match=words),
    ):
        model.transduce("abc")


def test_a_model_of_numbers_makes_no_symbols(tmp_path: Path) -> None:
    with treadle.load(write_language_model(tmp_path, features=3)) as model:
        with pytest.raises(treadle.BundleError, match="has no vocabulary 'symbols'"):
            model.generate("", max_length=1)
        with pytest.raises(treadle.BundleError, match="has no vocabulary 'symbols'"):
            model.score("a")


@pytest.mark.parametrize("shape", [["batch"], ["batch", 12], ["batch", 11, 1]])
def test_logits_are_one_a_symbol(tmp_path: Path, shape: list[Any]) -> None:
    bundle = write_language_model(tmp_path)
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    document["graphs"]["step"]["outputs"][0]["shape"] = shape
    document["graphs"]["sequence"]["outputs"][0]["shape"] = ["batch", "time", *shape[1:]]
    reseal(bundle, document)
    with (
        treadle.load(bundle) as model,
        pytest.raises(treadle.BundleError, match=r"should give logits float32 \[batch, 11\]"),
    ):
        model.generate("a", max_length=1)
