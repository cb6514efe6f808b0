"""Loops over time written out, and other graphs that use the same weights again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import NodeProto

from tests.export.lint.cases.case import Case
from tests.export.lint.graphs import FEATURES, HIDDEN, model, operation, port, streaming, tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray
    from onnx import ModelProto

WEIGHTS: dict[str, NDArray[np.generic]] = {
    "V": np.ones((FEATURES, HIDDEN), np.float32),
    "R": np.ones((HIDDEN, HIDDEN), np.float32),
}


def cell(step: int, before: str, x: str, *, squash: str = "Tanh") -> list[NodeProto]:
    """`state{step}` from the state before it and an input of the step."""
    return [
        operation("MatMul", f"{x} V", f"a{step}", name=f"input{step}"),
        operation("MatMul", f"{before} R", f"b{step}", name=f"recurrent{step}"),
        operation("Add", f"a{step} b{step}", f"sum{step}", name=f"sum{step}"),
        operation(squash, f"sum{step}", f"state{step}", name=f"squash{step}"),
    ]


def indices(number: int) -> dict[str, NDArray[np.int64]]:
    return {f"index{place}": np.array(place) for place in range(number)}


def loop(steps: int, *, squash: str = "Tanh") -> ModelProto:
    """x [batch, time, I] picked apart by Gather, a cell a step."""
    nodes, state = list[NodeProto](), "start"
    for step in range(steps):
        pick = f"x index{step}"
        nodes.append(operation("Gather", pick, f"x{step}", name=f"pick{step}", axis=1))
        nodes += cell(step, state, f"x{step}", squash=squash)
        state = f"state{step}"
    constants = {**WEIGHTS, **indices(steps)}
    return finished(nodes, state, constants)


def split_loop(steps: int) -> ModelProto:
    """x split once, as unbind exports."""
    pieces = " ".join(f"x{step}" for step in range(steps))
    nodes = [operation("Split", "x", pieces, axis=1, num_outputs=steps)]
    state = "start"
    for step in range(steps):
        nodes += cell(step, state, f"x{step}")
        state = f"state{step}"
    return finished(nodes, state, WEIGHTS)


def deep(layers: int) -> ModelProto:
    """The same layer stacked in depth: its weights repeat, but nothing is read anew."""
    nodes, state = list[NodeProto](), "start"
    for layer in range(layers):
        nodes += [
            operation("MatMul", f"{state} R", f"b{layer}", name=f"recurrent{layer}"),
            operation("Tanh", f"b{layer}", f"state{layer}", name=f"squash{layer}"),
        ]
        state = f"state{layer}"
    return finished(nodes, state, WEIGHTS)


def side_by_side(branches: int, *, squash: str) -> ModelProto:
    """The same weights for several parts of the input, none of which leads to another."""
    nodes = list[NodeProto]()
    for branch in range(branches):
        pick = f"x index{branch}"
        nodes.append(operation("Gather", pick, f"x{branch}", name=f"pick{branch}", axis=1))
        nodes.append(operation(squash, f"x{branch}", f"z{branch}", name=f"squash_x{branch}"))
        nodes += cell(branch, "start", f"z{branch}")
    states = " ".join(f"state{branch}" for branch in range(branches))
    nodes.append(operation("Concat", states, "all", axis=1))
    constants = {**WEIGHTS, **indices(branches)}
    return finished(nodes, "all", constants)


def finished(nodes: list[NodeProto], end: str, constants: Mapping[str, ArrayLike]) -> ModelProto:
    return model(
        nodes,
        [port("x", ["batch", "time", FEATURES]), port("start", ["batch", HIDDEN])],
        [port(end, None)],
        [tensor(name, array) for name, array in constants.items()],
    )


UNROLLED = "unrolled"

CASES = [
    Case(UNROLLED, "a recurrent node", streaming),
    Case(
        UNROLLED,
        "four steps",
        lambda: loop(4),
        "warning",
        ("written out as 4 steps", "with the weights 'R'", "each step reads 'x' anew"),
    ),
    Case(
        UNROLLED, "three steps of a ReLU", lambda: loop(3, squash="Relu"), "warning", ("3 steps",)
    ),
    Case(UNROLLED, "split once", lambda: split_loop(5), "warning", ("5 steps", "reads 'x'")),
    Case(UNROLLED, "one step", lambda: loop(1)),
    Case(UNROLLED, "no non-linearity: a filter, not a cell", lambda: loop(4, squash="Identity")),
    Case(UNROLLED, "the same layer in depth", lambda: deep(6)),
    Case(UNROLLED, "side by side", lambda: side_by_side(4, squash="Identity")),
    Case(UNROLLED, "side by side, squashed before", lambda: side_by_side(4, squash="Tanh")),
]
