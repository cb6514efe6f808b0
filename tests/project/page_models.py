"""Tiny models in the place of those that the pages of docs/ name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.runtime.test_packing import recorded
from tests.runtime.tiny_bundles import (
    reseal,
    write_generator,
    write_language_model,
    write_transducer,
    write_whole_sequence,
)
from tests.train.labelled import open_moods, tiny_classifier
from tests.train.resuming import without_curves
from tests.train.series import open_waves, tiny_forecaster
from tests.train.spoken import open_tones, tiny_transducer, utterances
from tests.train.tagged import open_names, tiny_tagger
from treadle.golden import GOLDEN_FILE
from treadle_export.exporting.exporter import export_run
from treadle_export.one_call.row_search import RowSearch
from treadle_export.one_call.writing import write_one_call
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from treadle_train.recipe import Recipe

    Writer = Callable[[Path, str], Any]

# Data sets of tests, and those that pages open by name.
DATASETS = {
    "moods": open_moods,
    "names": open_names,
    "tones": open_tones,
    "waves": open_waves,
    "etth1": open_waves,
    "wnut17": open_names,
}
ONE_EPOCH = "training.epochs=1"
FORWARD = "network.bidirectional=false"


def untrained(write: Callable[..., Path], **options: Any) -> Writer:
    """A bundle that is built node by node, with random weights."""

    def make(folder: Path, name: str) -> None:
        write(folder, name=name, **options)

    return make


def trained(recipe: Callable[..., Recipe], *changes: str) -> Writer:
    """A bundle that was trained for a second and exported in float32."""

    def make(folder: Path, name: str) -> None:
        with without_curves():
            run = train(recipe(*changes, ONE_EPOCH), folder / f"{name}-run")
        export_run(run, {"float32": folder / f"{name}.treadle"})

    return make


def with_a_trace(folder: Path, name: str) -> None:
    """Characters, with a golden trace that the device can replay."""
    bundle = write_language_model(folder, name=name)
    (bundle / GOLDEN_FILE).write_bytes(recorded(bundle).to_bytes())
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    document["files"][GOLDEN_FILE] = {}
    reseal(bundle, document)


def with_a_beam(folder: Path, name: str) -> None:
    """A transducer whose bundle says that it is searched with a beam."""
    bundle = write_transducer(folder, name=name)
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    document["decoding"]["beam"] = 3
    reseal(bundle, document)


def stateful(folder: Path, name: str) -> None:
    """A model that was adopted: frames of 5 numbers in, numbers out."""
    bundle = write_language_model(folder, name=name, features=5)
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    reseal(bundle, document | {"task": "stateful", "decoding": {}})


def whole_decode(folder: Path, name: str) -> None:
    """A whole decode as one ONNX file, text in and text out."""
    write_one_call(
        write_transducer(folder, name=name), folder / f"{name}.onnx", RowSearch(), text=True
    )


def with_utterances(folder: Path, name: str) -> None:
    """A tiny speech model, and utterances beside it."""
    trained(tiny_transducer, "ctc")(folder, name)
    for file, spoken in zip(("one", "two", "utterance"), utterances(3), strict=True):
        np.save(folder / f"{file}.npy", spoken.values)


def in_package(folder: Path, name: str) -> None:
    """A bundle to be packed, and the same within a package."""
    (folder / "package").mkdir()
    (folder / "package/__init__.py").touch()
    for place in (folder, folder / "package"):
        write_language_model(place, name=name)


# The bundle that a page names, in its working directory -> what makes it there.
MODELS: dict[str, Writer] = {
    "build/demo/characters-int8": with_a_trace,
    "build/demo/pronounce-en-int8": untrained(write_transducer),
    "build/updated": untrained(write_language_model, seed=1),
    "digits": with_utterances,
    "melody": untrained(write_generator),
    "mine": in_package,
    "model": stateful,
    "pronounce": whole_decode,
    "sentiment": trained(tiny_classifier, FORWARD),
    "tag-pos": trained(tiny_tagger, FORWARD, "network.crf=false"),
    "tag-pos-chunks": trained(
        tiny_tagger, "network.crf=false", "network.chunk=3", "network.lookahead=2"
    ),
    "tagger": untrained(write_whole_sequence),
    "transformer": trained(tiny_forecaster),
    "translate": with_a_beam,
}
