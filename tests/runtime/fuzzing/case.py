"""One case: a number says which bundle is damaged and how; it is opened and run."""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

import treadle
from tests.runtime.fuzzing.bytes_damage import DAMAGES
from tests.runtime.fuzzing.forging import forge
from tests.runtime.fuzzing.json_damage import edit_json
from tests.runtime.fuzzing.npz_damage import edit_npz
from tests.runtime.fuzzing.onnx_damage import edit_onnx
from treadle import selfcheck
from treadle.commands.inspect import summary
from treadle.generator import Generator
from treadle.golden import GOLDEN_FILE
from treadle.language_model import LanguageModel
from treadle.manifest import TASKS
from treadle.transducer import Transducer
from treadle.whole_sequence_model import WholeSequenceModel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtime.fuzzing.sound import Files

STEPS = 3


def damaged(seed: int, sound: dict[str, Files]) -> Files:
    """The files of case `seed`. Every second one has digests and a seal that fit."""
    chance = random.Random(seed)
    files = dict(sound[chance.choice(sorted(sound))])
    for _ in range(chance.choice([1, 1, 2])):
        kind = chance.random()
        if not files:
            break
        if kind < 0.4:
            edit_onnx(chance, files)
        elif kind < 0.65 and any(name.endswith(".json") for name in files):
            edit_json(chance, files)
        elif kind < 0.75:
            edit_npz(chance, files)
        elif len(files) > 1 and any(files.values()):
            chance.choice(DAMAGES)(chance, files)
    if seed % 2:
        forge(files)
    return files


def write(files: Files, directory: Path) -> None:
    """The bundle, in place of what is in `directory`."""
    for path in directory.iterdir():
        path.unlink()
    for name, content in files.items():
        (directory / name).write_bytes(content)


def open_and_run(bundle: Path) -> str:
    """Where it ended: "open", "session" or "run" with an error of the tree, or "answered"."""
    stage = "open"
    try:
        with treadle.load(bundle) as model:
            summary(model.manifest)
            stage = "session"
            model.session("sequence")
            with _stream(model) as stream:
                stage = "run"
                if stream is None:
                    model.read(_input(model, "sequence", 1, 4))
                else:
                    _run(model, stream)
            _answer(model)
            if GOLDEN_FILE in model.manifest.files:
                selfcheck.verify(model)
    except treadle.TreadleError:
        return stage
    return "answered"


def _stream(model: Any) -> Any:
    if isinstance(model, WholeSequenceModel):
        return nullcontext()
    steps = TASKS[model.manifest.task].source_steps
    return model.stream([[1, 2, 3][:steps]] if "encode" in model.manifest.graphs else None)


def _run(model: Any, stream: Any) -> None:
    for _ in range(STEPS):
        stream.step(_input(model, "step", 1))
    stream.feed(_input(model, "step", 1, 4))
    stream.unroll(_input(model, "step", 1, 2))
    model.resume(stream.snapshot()).step(_input(model, "step", 1))


def _answer(model: Any) -> None:
    """What the task is for, where the bundle has symbols."""
    if isinstance(model, LanguageModel) and model.vocabularies:
        list(model.generate("ab", max_length=4))
        model.score("ab")
    elif isinstance(model, Transducer):
        model.transduce("ab", beam=2, n_best=2)
    elif isinstance(model, Generator):
        model.generate(["a", "b"], max_length=4)
        list(model.running("a", prompt="B", max_length=4))
        model.score("a", ["AA B"])


def _input(model: Any, graph: str, *axes: int) -> np.ndarray[Any, Any]:
    reading = model.reading(graph)
    return np.zeros((*axes, *reading.features), reading.dtype)
