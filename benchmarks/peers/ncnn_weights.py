"""int8 weights for ncnn: what its tool `ncnn2int8` writes, which its package for Python lacks.

A model is two files. The text has one layer a line: type, name, counts of inputs and outputs, their
names, and parameters `id=value`. The binary has the layers' weights in the same order; a weight
that may have several forms begins with a tag of four bytes. What is written here are rows of LSTM,
GRU and inner products in 8 bits, each with the factor that made integers of it; inner products also
get the factor of their inputs, which is fixed: all here read hidden states, within [-1, 1], or
tanh of something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

FLOAT32_TAG = bytes(4)
INT8_TAG = (0x000D4B38).to_bytes(4, "little")
LEVELS = 127
INT8_TERM = " 8=2"
"""The parameter that tells a layer of its 8 bits."""
GATES = {"LSTM": 4, "GRU": 3}

Floats = NDArray[np.float32]


class WeightReader:
    """Float32 weights of a binary file, in order."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0

    def take(self, count: int, *, tagged: bool) -> Floats:
        """The next `count` numbers. Raises ValueError where they are not float32."""
        if tagged:
            tag = self.content[self.position : self.position + 4]
            if tag != FLOAT32_TAG:
                raise ValueError(f"expected float32 weights, got the tag {tag.hex()}")
            self.position += 4
        found = np.frombuffer(self.content, np.float32, count, self.position)
        self.position += 4 * count
        return found


def quantized_rows(rows: Floats) -> tuple[bytes, Floats]:
    """A matrix [N, K] as tagged 8-bit rows, padded to whole words, and the factors [N]."""
    factors = LEVELS / np.maximum(np.abs(rows).max(axis=1), 1e-8)
    levels = np.clip(np.rint(rows * factors[:, None]), -LEVELS, LEVELS).astype(np.int8).tobytes()
    return INT8_TAG + levels + bytes(-len(levels) % 4), factors.astype(np.float32)


def inner_product(reader: WeightReader, settings: dict[str, str]) -> bytes:
    """The 8-bit form of one inner product."""
    rows = int(settings["0"])
    weights = reader.take(int(settings["2"]), tagged=True).reshape(rows, -1)
    bias = reader.take(rows, tagged=False)
    levels, factors = quantized_rows(weights)
    return b"".join([levels, bias.tobytes(), factors.tobytes(), np.float32(LEVELS).tobytes()])


def product(reader: WeightReader, settings: dict[str, str]) -> bytes:
    """A product of many rows keeps its float32 weights: the head of a tagger, which is small."""
    rows, columns = int(settings["8"]), int(settings["9"])
    made = b""
    for constant, count in (("5", rows * columns), ("6", rows)):
        if settings.get(constant) == "1":
            made += FLOAT32_TAG + reader.take(count, tagged=True).tobytes()
    return made


def recurrent(reader: WeightReader, kind: str, settings: dict[str, str]) -> bytes:
    """The 8-bit form of one LSTM or GRU; its bias has four parts in both."""
    hidden = int(settings["0"])
    directions = 2 if settings.get("2") == "2" else 1
    rows = directions * GATES[kind] * hidden
    below = reader.take(int(settings["1"]), tagged=True).reshape(rows, -1)
    bias = reader.take(directions * 4 * hidden, tagged=True)
    before = reader.take(rows * hidden, tagged=True).reshape(rows, hidden)
    below_levels, below_factors = quantized_rows(below)
    before_levels, before_factors = quantized_rows(before)
    parts = [below_levels, FLOAT32_TAG + bias.tobytes(), before_levels]
    return b"".join([*parts, below_factors.tobytes(), before_factors.tobytes()])


def quantize(param: Path, weights: Path, out_param: Path, out_weights: Path) -> None:
    """Both files of a float32 model to both of an 8-bit one. Raises ValueError for what is left."""
    head, lines = param.read_text().splitlines()[:2], param.read_text().splitlines()[2:]
    reader, made = WeightReader(weights.read_bytes()), bytearray()
    for index, line in enumerate(lines):
        kind, _, inputs, outputs, *rest = line.split()
        named = rest[int(inputs) + int(outputs) :]
        settings = dict(word.split("=", 1) for word in named)
        if kind == "Embed":
            made += FLOAT32_TAG + reader.take(int(settings["3"]), tagged=True).tobytes()
        elif kind == "InnerProduct":
            made += inner_product(reader, settings)
            lines[index] += INT8_TERM
        elif kind == "Gemm":
            made += product(reader, settings)
        elif kind in GATES:
            made += recurrent(reader, kind, settings)
            lines[index] += INT8_TERM
    if reader.position != len(reader.content):
        raise ValueError(f"{len(reader.content) - reader.position} bytes of weights are no one's")
    out_param.write_text("\n".join([*head, *lines]) + "\n")
    out_weights.write_bytes(made)
