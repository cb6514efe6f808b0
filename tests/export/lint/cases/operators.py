"""Attributes of recurrent nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper

from tests.export.lint.cases.case import Case
from tests.export.lint.cases.weights import quantized_lstm
from tests.export.lint.graphs import HIDDEN, declare, streaming, tensor

if TYPE_CHECKING:
    from onnx import ModelProto


def reset_before(producer: str) -> ModelProto:
    made = streaming("GRU", linear_before_reset=0)
    made.producer_name = producer
    return made


def reset_by_default() -> ModelProto:
    """linear_before_reset is left out, and so it is 0."""
    made = streaming("GRU")
    kept = [a for a in made.graph.node[0].attribute if a.name != "linear_before_reset"]
    del made.graph.node[0].attribute[:]
    made.graph.node[0].attribute.extend(kept)
    made.producer_name = "pytorch"
    return made


def reset_after() -> ModelProto:
    made = streaming("GRU")
    made.producer_name = "pytorch"
    return made


def batch_first() -> ModelProto:
    made = declare(streaming("RNN", layout=1), "x", "batch", "time", 6)
    return declare(made, "h_in", "batch", 1, HIDDEN)


def clipped_integers() -> ModelProto:
    """It has no kernel for a GPU, whatever its attributes."""
    made = quantized_lstm()
    made.graph.node[0].attribute.append(helper.make_attribute("clip", 3.0))
    return made


def peepholes() -> ModelProto:
    made = streaming()
    made.graph.node[0].input.append("P")
    made.graph.initializer.append(tensor("P", np.ones((1, 3 * HIDDEN), np.float32)))
    return made


RESET, LAYOUT, CUDA = "reset-gate-side", "batch-first-layout", "cuda-fallback"

CASES = [
    Case(RESET, "after the product", reset_after),
    Case(RESET, "an LSTM has no reset gate", streaming),
    Case(
        RESET,
        "before it, from PyTorch",
        lambda: reset_before("pytorch"),
        "error",
        (
            "GRU node 'layer' applies its reset gate before the recurrent product",
            "(linear_before_reset=0), and the file comes from PyTorch",
        ),
    ),
    Case(RESET, "before it by default", reset_by_default, "error", ("comes from PyTorch",)),
    Case(RESET, "before it, from elsewhere", lambda: reset_before("keras2onnx"), "note", ("=0)",)),
    Case(LAYOUT, "the time is first", lambda: streaming(layout=0)),
    Case(
        LAYOUT,
        "the batch is first",
        batch_first,
        "error",
        ("RNN node 'layer' has its batch first (layout=1)",),
    ),
    Case(
        CUDA,
        "the usual activations, named",
        lambda: streaming(activations=["Sigmoid", "Tanh", "Tanh"]),
    ),
    Case(
        CUDA,
        "the usual activations both ways",
        lambda: streaming("GRU", direction="bidirectional", activations=["Sigmoid", "Tanh"] * 2),
    ),
    Case(CUDA, "the tanh of an RNN", lambda: streaming("RNN", activations=["tanh"])),
    Case(CUDA, "a GRU of PyTorch's", reset_after),
    Case(CUDA, "clip in integers", clipped_integers),
    Case(CUDA, "clip", lambda: streaming(clip=3.0), "note", ("LSTM node 'layer'", "lacks: clip")),
    Case(
        CUDA,
        "other activations",
        lambda: streaming("RNN", activations=["Relu"]),
        "note",
        ("activations Relu",),
    ),
    Case(
        CUDA,
        "other activations backwards",
        lambda: streaming(
            "GRU",
            direction="bidirectional",
            activations=["Sigmoid", "Tanh", "HardSigmoid", "Tanh"],
        ),
        "note",
        ("activations Sigmoid, Tanh, HardSigmoid, Tanh",),
    ),
    Case(CUDA, "coupled gates", lambda: streaming(input_forget=1), "note", ("input_forget",)),
    Case(CUDA, "peepholes", peepholes, "note", ("peepholes",)),
    Case(CUDA, "reset before", lambda: reset_before(""), "note", ("linear_before_reset=0",)),
]
