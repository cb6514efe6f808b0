"""The one table of tolerances: how far two stages of a model may differ, and why.

A rung of the parity ladder compares states and outputs of two stages, step by step. `absolute`
bounds every difference of a state, `outputs` that of an output, `flips` the share of steps whose
largest output changes place.
"""

from __future__ import annotations

from dataclasses import dataclass

from treadle.errors import InputError


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a rung is allowed, with the reason."""

    absolute: float
    outputs: float
    flips: float
    reason: str


_SAME_FLOAT = Tolerance(
    absolute=1e-5,
    outputs=5e-5,
    flips=0.0,
    reason="the same float32 equations, sums in another order, carried for 1,000 steps; an output "
    "sums hundreds of products of states, through a softmax that sharpens differences",
)
_SAME_GRAPH = Tolerance(0.0, 0.0, 0.0, "the same graph, engine and processor")

TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("equations", "float32"): Tolerance(
        2e-5,
        2e-5,
        0.0,
        "float64 equations against float32 kernels, each layer over the whole trace",
    ),
    ("torch step", "float32"): _SAME_FLOAT,
    ("onnx encode", "float32"): _SAME_FLOAT,
    ("onnx sequence", "float32"): _SAME_FLOAT,
    ("onnx step", "float32"): _SAME_FLOAT,
    ("lowered", "float32"): _SAME_FLOAT,
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
        "lose is judged by the negative log-likelihood: a rung only finds what is broken",
    ),
    ("stream", "int8"): Tolerance(
        1e-5,
        2e-2,
        0.02,
        "one step from the recorded state, whose integers are the same everywhere; tanh differs "
        "by 3e-7 between processors, which can move an output's activations to the next of 255 "
        "levels",
    ),
    ("chunk", "int8"): _SAME_GRAPH,
    ("batch", "int8"): _SAME_GRAPH,
}


def tolerance(rung: str, precision: str) -> Tolerance:
    """The tolerance of a rung for a precision; a rung before quantization has that of float32.

    Raises:
        InputError: the table has no such rung.
    """
    found = TOLERANCES.get((rung, precision)) or TOLERANCES.get((rung, "float32"))
    if found is None:
        names = ", ".join(sorted({name for name, _ in TOLERANCES}))
        raise InputError(f"expected a rung of the parity ladder ({names}), got {rung!r}")
    return found
