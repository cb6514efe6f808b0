"""What every engine is asked to compute: sizes, seeded weights, tokens to read.

Weights are plain numpy arrays under the names of `models.py`, so that no engine's own initializer
decides anything. Recurrent ones are 1.5 times as large as PyTorch would draw them, so that states
really move; `references.py` scales the last layer, so that logits have a standard deviation of 2
and an error of 0.001 means the same everywhere.

Notation: V vocabulary, E embedding, H hidden size, B streams, T steps or tokens, S source.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("PEERS_BUILD") or ROOT / "build/peers")
"""Everything that is made once; PEERS_BUILD names another folder."""

Kind = Literal["step", "tagger", "decoder"]
Weights = dict[str, NDArray[np.float32]]
Ids = NDArray[np.int64]

WEIGHTS, REFERENCE = "weights.npz", "reference.npz"
STEP_ONNX, CELLS_ONNX, STEP_SCRIPT = "step.onnx", "cells.onnx", "step.pt"
PREPARED = "prepared"
"""What lies in a workload's folder for all engines; the last says that all of it is there."""

GATES = {"lstm": 4, "gru": 3}
SEED = 1234


@dataclass(frozen=True, slots=True)
class Workload:
    """One question: a step of a language model, a tagged sentence, a step of a decoder.

    hidden: of one direction. streams: rows that step at once. length: tokens of the sentence, or
    of the source that is attended to. outputs: symbols or tags. steps: reference tokens a row.
    """

    name: str
    about: str
    kind: Kind
    vocabulary: int
    embedding: int
    hidden: int
    layers: int = 1
    outputs: int = 0
    streams: int = 1
    length: int = 25
    steps: int = 32
    cells: tuple[str, ...] = ("lstm", "gru")

    @property
    def states(self) -> tuple[int, int, int]:
        """The shape of a state, [layers, B, H]."""
        return self.layers, self.streams, self.hidden


WORKLOADS = {
    one.name: one
    for one in (
        Workload("small", "1 layer of 128, 64 symbols", "step", 64, 128, 128, 1, 64),
        Workload("medium", "2 layers of 512, 10,000 symbols", "step", 10_000, 512, 512, 2, 10_000),
        Workload(
            *("large", "3 layers of 1024, 32,000 symbols", "step"),
            *(32_000, 1024, 1024, 3, 32_000),
            steps=16,
        ),
        Workload(
            *("tagger", "both directions of 256 over 25 tokens, 20 tags", "tagger"),
            *(10_000, 128, 256, 1, 20),
            cells=("lstm",),
        ),
        Workload(
            *("decoder", "1 layer of 512 that attends to 25 tokens, 10,000 symbols", "decoder"),
            *(10_000, 512, 512, 1, 10_000),
            cells=("gru",),
        ),
        Workload(
            *("streams", "32 streams at once through 2 layers of 512, 10,000 symbols", "step"),
            *(10_000, 512, 512, 2, 10_000),
            streams=32,
            steps=8,
        ),
    )
}


def folder_of(workload: Workload, cell: str) -> Path:
    """Where the weights, the reference and all conversions of a workload lie."""
    return BUILD / "models" / f"{workload.name}-{cell}"


def shapes(workload: Workload, cell: str) -> dict[str, tuple[int, ...]]:
    """Every weight of a step by name."""
    both = workload.kind == "tagger"
    found: dict[str, tuple[int, ...]] = {
        "embedding.weight": (workload.vocabulary, workload.embedding)
    }
    found |= recurrent_shapes(
        *("recurrent", cell, workload.embedding, workload.hidden, workload.layers), both=both
    )
    if workload.kind == "decoder":
        found |= {
            "mix.weight": (workload.hidden, 2 * workload.hidden),
            "mix.bias": (workload.hidden,),
        }
    read = workload.hidden * (2 if both else 1)
    return found | {
        "output.weight": (workload.outputs, read),
        "output.bias": (workload.outputs,),
    }


def encoder_shapes(workload: Workload, cell: str) -> dict[str, tuple[int, ...]]:
    """Of what makes a decoder's memory before its first step, half of it in each direction."""
    size, name = workload.hidden // 2, "encoder.recurrent"
    embedding = {"encoder.embedding.weight": (workload.vocabulary, workload.embedding)}
    return embedding | recurrent_shapes(name, cell, workload.embedding, size, 1, both=True)


def recurrent_shapes(
    name: str, cell: str, below: int, hidden: int, layers: int, *, both: bool
) -> dict[str, tuple[int, ...]]:
    """The weights of recurrent layers, named as `torch.nn.LSTM` names them."""
    rows = GATES[cell] * hidden
    found: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        for direction in ("", "_reverse") if both else ("",):
            end = f"l{layer}{direction}"
            found |= {
                f"{name}.weight_ih_{end}": (rows, below),
                f"{name}.weight_hh_{end}": (rows, hidden),
                f"{name}.bias_ih_{end}": (rows,),
                f"{name}.bias_hh_{end}": (rows,),
            }
        below = hidden * (2 if both else 1)
    return found


def seeded_weights(workload: Workload, cell: str) -> Weights:
    """The same weights at every call, before the last layer is scaled."""
    draw = np.random.default_rng(SEED)
    bounds = {"mix.weight": 2 / (2 * workload.hidden) ** 0.5, "mix.bias": 0.1, "output.bias": 0.1}
    wanted, weights = shapes(workload, cell), Weights()
    if workload.kind == "decoder":
        wanted |= encoder_shapes(workload, cell)
    for name, shape in wanted.items():
        if name.endswith("embedding.weight"):
            weights[name] = draw.standard_normal(shape, np.float32)
            continue
        bound = bounds.get(name, 1.5 / workload.hidden**0.5)
        weights[name] = (bound * (2 * draw.random(shape, np.float32) - 1)).astype(np.float32)
    return weights


def reference_tokens(workload: Workload) -> Ids:
    """What is read while answers are compared: [T, B], for a tagger its one sentence [T, 1]."""
    draw = np.random.default_rng(SEED + 1)
    if workload.kind == "tagger":
        return draw.integers(0, workload.vocabulary, (workload.length, 1))
    return draw.integers(0, workload.vocabulary, (workload.steps, workload.streams))


def source_tokens(workload: Workload) -> Ids:
    """What a decoder attends to, [S]; 0 is padding to some, so there is none."""
    return np.random.default_rng(SEED + 2).integers(1, workload.vocabulary, workload.length)


def loaded(path: Path) -> dict[str, NDArray[np.float32]]:
    """The arrays of a file by name."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}
