"""The one table of tolerances: how far two stages of a model may differ, and why.

A rung of the parity ladder compares states and outputs of two stages, step by step. `absolute`
bounds every difference of a state, `outputs` that of an output, `flips` the share of steps whose
largest output changes place, `jumps` the share of steps whose outputs may be over their bound in a
model that attends.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from treadle.errors import InputError


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a rung is allowed, with the reason."""

    absolute: float
    outputs: float
    flips: float
    reason: str
    jumps: float = 0.0


_SAME_FLOAT = Tolerance(
    absolute=1e-5,
    outputs=5e-5,
    flips=0.0,
    reason="the same float32 equations, sums in another order, carried for 1,000 steps; an output "
    "sums hundreds of products of states, through a softmax that sharpens differences",
)
_QUANTIZED_4 = Tolerance(
    1.5,
    0.3,
    0.2,
    "as int8, with weights of 16 levels: among thousands of states one in the middle of a steep "
    "gate may land near its other end, and attention that weighs two places alike may turn from "
    "one to the other, which moves the outputs of that step; the loss is judged by the negative "
    "log-likelihood",
    jumps=0.01,
)
_STREAM_INTEGERS = Tolerance(
    1e-5,
    2e-2,
    0.02,
    "one step from the recorded state, whose integers are the same everywhere; tanh differs by "
    "3e-7 between processors, which can move an output's activations to the next of 255 levels",
)
_STREAM_BLOCKS = Tolerance(
    2e-2,
    5e-2,
    0.05,
    "one step from the recorded state; kernels may sum blocks in another order, and a last bit "
    "can move an activation to the next of 255 levels",
)
_STREAM_BLOCKS_ARM = Tolerance(
    0.3,
    0.1,
    0.05,
    "as elsewhere, but some kernels keep activations in float and others round a whole row at a "
    "time: 1 % of a product's largest output, which the steep middle of a gate multiplies",
)
_BLOCKS_IN_COMPANY = Tolerance(
    1e-5,
    2e-2,
    0.0,
    "a product of one row and one of many differ by 1e-5 at most, relatively: some processors sum "
    "blocks in another order for each; carried on, the difference can move an "
    "activation to the next of 255 levels",
)
_TENSORWISE_IN_COMPANY = Tolerance(
    0.5,
    0.5,
    0.0,
    "nothing is promised: all rows and steps of a call share one scale, and the figure says what "
    "that costs",
)
_HALVES_IN_COMPANY = Tolerance(
    1e-5,
    1e-2,
    0.0,
    "float32 sums in another order, rounded to 11 bits: a last bit of these may change, and is "
    "carried on",
)
UNGATED = 5.0
"""So many times as far may states carried in float32 be apart where a layer has no gates: what an
Elman layer rounds goes through its whole matrix at every step, and nothing lets it fade."""
_SAME_GRAPH = Tolerance(0.0, 0.0, 0.0, "the same graph, engine and processor")

TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("equations", "float32"): Tolerance(
        5e-5,
        5e-5,
        0.0,
        "float64 equations against float32 kernels, each layer over the whole trace; what float32 "
        "rounds is carried on, and large weights magnify it",
    ),
    ("torch step", "float32"): _SAME_FLOAT,
    ("onnx encode", "float32"): _SAME_FLOAT,
    ("onnx sequence", "float32"): _SAME_FLOAT,
    ("onnx step", "float32"): _SAME_FLOAT,
    ("lowered", "float32"): _SAME_FLOAT,
    ("predictor", "float32"): _SAME_FLOAT,
    ("joiner", "float32"): _SAME_FLOAT,
    ("stream", "float32"): _SAME_FLOAT,
    ("chunk", "float32"): _SAME_FLOAT,
    ("batch", "float32"): _SAME_FLOAT,
    ("onnx sequence", "int8-tensorwise"): Tolerance(
        0.5,
        0.2,
        0.05,
        "the origin rounds activations with one scale over all rows and steps, so that it differs "
        "from its own steps by percents; here they are not rounded",
    ),
    ("quantized", "int8"): Tolerance(
        0.5,
        0.1,
        0.05,
        "one step from the float32 state; weights and activations have 8 bits, and what they "
        "lose is judged by the negative log-likelihood: a rung only finds what is broken; "
        "attention may turn from one place to another, which moves the outputs of that step",
        jumps=0.01,
    ),
    ("stream", "int8"): _STREAM_INTEGERS,
    ("chunk", "int8"): _SAME_GRAPH,
    ("batch", "int8"): _SAME_GRAPH,
    ("screened", "float32"): Tolerance(
        0.0,
        0.3,
        0.02,
        "a screened head against the whole one: states do not depend on it; most logits are "
        "estimates with weights of 16 levels, and the largest one is among the exact ones but "
        "where the estimates miss it",
    ),
    ("quantized", "int8-block"): Tolerance(
        0.5,
        0.1,
        0.05,
        "as int8; each block of weights and of activations has its own scale",
        jumps=0.01,
    ),
    ("stream", "int8-block"): _STREAM_BLOCKS,
    ("chunk", "int8-block"): _SAME_GRAPH,
    ("batch", "int8-block"): _SAME_GRAPH,
    ("quantized", "int8-fast"): Tolerance(
        0.5, 0.1, 0.05, "as int8-block, with blocks four times as long", jumps=0.01
    ),
    ("stream", "int8-fast"): _STREAM_BLOCKS,
    ("chunk", "int8-fast"): _BLOCKS_IN_COMPANY,
    ("batch", "int8-fast"): _BLOCKS_IN_COMPANY,
    ("quantized", "int4"): _QUANTIZED_4,
    ("stream", "int4"): _STREAM_INTEGERS,
    ("chunk", "int4"): _SAME_GRAPH,
    ("batch", "int4"): _SAME_GRAPH,
    ("quantized", "int4-block"): _QUANTIZED_4,
    ("stream", "int4-block"): _STREAM_BLOCKS,
    ("chunk", "int4-block"): _BLOCKS_IN_COMPANY,
    ("batch", "int4-block"): _BLOCKS_IN_COMPANY,
    ("quantized", "int4-fast"): _QUANTIZED_4,
    ("stream", "int4-fast"): _STREAM_BLOCKS,
    ("chunk", "int4-fast"): _BLOCKS_IN_COMPANY,
    ("batch", "int4-fast"): _BLOCKS_IN_COMPANY,
    ("quantized", "int8-tensorwise"): Tolerance(
        0.8,
        0.3,
        0.2,
        "one scale for the activations of all steps that are compared at once: the small ones "
        "among them are rounded coarsely",
    ),
    ("stream", "int8-tensorwise"): Tolerance(
        1e-5, 2e-2, 0.02, "as int8: a step of one row has one scale in either"
    ),
    ("chunk", "int8-tensorwise"): _TENSORWISE_IN_COMPANY,
    ("batch", "int8-tensorwise"): _TENSORWISE_IN_COMPANY,
    ("quantized", "float16"): Tolerance(
        5e-3,
        2e-2,
        0.02,
        "weights and products have 11 bits, a relative step of 5e-4; an output sums hundreds",
    ),
    ("stream", "float16"): Tolerance(
        2e-3,
        1e-2,
        0.01,
        "one step from the recorded state; some processors sum halves, others float32",
    ),
    ("chunk", "float16"): _HALVES_IN_COMPANY,
    ("batch", "float16"): _HALVES_IN_COMPANY,
}

# The other graphs of an RNN-T, each step from a state of float32 as the rung `quantized` has it.
TOLERANCES |= {
    (f"quantized {graph}", precision): allowed
    for (rung, precision), allowed in TOLERANCES.items()
    if rung == "quantized"
    for graph in ("predictor", "joiner")
}

# What a device replays of them, as the step is.
TOLERANCES |= {
    (f"stream {graph}", precision): allowed
    for (rung, precision), allowed in TOLERANCES.items()
    if rung == "stream"
    for graph in ("predictor", "joiner")
}

ON_PROCESSORS: dict[tuple[str, str, str], Tolerance] = {
    (rung, precision, "arm64"): _STREAM_BLOCKS_ARM
    for rung in ("stream", "stream predictor", "stream joiner")
    for precision in ("int8-block", "int8-fast", "int4-block", "int4-fast")
} | {(rung, "int8-block", "cuda"): TOLERANCES["batch", "float32"] for rung in ("batch", "chunk")}
"""Where a class of processors has kernels of its own: (rung, precision, class) goes before."""

_CLASSES = {"aarch64": "arm64", "arm64": "arm64"}
"""`platform.machine()` in lower case -> class of processors; any other is its own class."""


def processor_of(target: str, device: str) -> str | None:
    """The class of processors whose kernels a bundle meets, None for this machine's own.

    On a GPU blocks are multiplied with activations in float, by kernels chosen by size, and what is
    built for one is written like that.
    """
    return "cuda" if "cuda" in (target, device) else None


def tolerance(rung: str, precision: str, processor: str | None = None) -> Tolerance:
    """The tolerance of a rung for a precision; a rung before quantization has that of float32.

    `processor` is a machine's name as `platform.machine` gives it, this one's by default. Raises
    InputError for a rung that the table does not have.
    """
    machine = (platform.machine() if processor is None else processor).lower()
    own = ON_PROCESSORS.get((rung, precision, _CLASSES.get(machine, machine)))
    found = own or TOLERANCES.get((rung, precision)) or TOLERANCES.get((rung, "float32"))
    if found is None:
        names = ", ".join(sorted({name for name, _ in TOLERANCES}))
        raise InputError(f"expected a rung of the parity ladder ({names}), got {rung!r}")
    return found
