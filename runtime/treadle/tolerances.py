"""The one table of tolerances: how far two stages of a model may differ, and why.

A rung of the parity ladder compares outputs and states of two stages, step by step. `absolute`
bounds every difference, `flips` the share of steps whose largest output changes place.
"""

from __future__ import annotations

from dataclasses import dataclass

from treadle.errors import InputError


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a rung is allowed, with the reason."""

    absolute: float
    flips: float
    reason: str


_SAME_FLOAT = Tolerance(
    1e-5, 0.0, "the same float32 equations, sums in another order, carried for 1,000 steps"
)
_SAME_GRAPH = Tolerance(0.0, 0.0, "the same graph, engine and processor")

TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("equations", "float32"): Tolerance(
        2e-5, 0.0, "float64 equations against float32 kernels, each layer over the whole trace"
    ),
    ("torch step", "float32"): _SAME_FLOAT,
    ("onnx encode", "float32"): _SAME_FLOAT,
    ("onnx sequence", "float32"): _SAME_FLOAT,
    ("onnx step", "float32"): _SAME_FLOAT,
    ("lowered", "float32"): _SAME_FLOAT,
    ("stream", "float32"): Tolerance(
        1e-5, 0.0, "torch against the runtime, carried; processors' tanh differ by 3e-7"
    ),
    ("chunk", "float32"): _SAME_FLOAT,
    ("batch", "float32"): _SAME_FLOAT,
    ("quantized", "int8"): Tolerance(
        1.0, 0.05, "one step from the float32 state; weights and activations have 8 bits"
    ),
    ("stream", "int8"): Tolerance(
        5e-2,
        0.02,
        "one step from the recorded state; tanh differs by 3e-7 between processors, which can "
        "move an activation to the next of its 255 levels",
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
