"""What the graphs of a bundle must agree on: with their task, and with each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from treadle.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.manifest import ContextTensor, Graph, StatePort, Tensor

DTYPES = frozenset({"float32", "int64", "bool"})
LARGEST_SIZE = 2**31 - 1
LARGEST_ROW = 2**26
"""Elements that one row of one step of all tensors of a graph together may have: a manifest of a
few bytes must not ask for all of a device's memory."""


def check_graphs(graphs: dict[str, Graph]) -> None:
    """Raise BundleError, naming graph and tensor, unless the graphs keep the contract."""
    for name, graph in graphs.items():
        _check_names(name, graph)
        _check_tensors(name, graph)
    if "step" not in graphs:
        _require("prompt" not in graphs, "graphs.prompt has no meaning without graphs.step")
        _check_whole(graphs["sequence"])
        return
    _check_step(graphs["step"])
    _check_sequence(graphs["sequence"], graphs["step"])
    if "prompt" in graphs:
        _check_prompt(graphs["prompt"], graphs["sequence"], graphs["step"])
    if "encode" in graphs:
        _check_encode(graphs["encode"])
    if "predictor" in graphs or "joiner" in graphs:
        _require("joiner" in graphs, "graphs.predictor has no meaning without graphs.joiner")
        _require("predictor" in graphs, "graphs.joiner has no meaning without graphs.predictor")
        _check_joined(graphs["step"], graphs["predictor"], graphs["joiner"])
    _check_origins(graphs)


def _check_names(name: str, graph: Graph) -> None:
    inputs = _names(graph.inputs) + _names(graph.context) + [s.input for s in graph.state]
    inputs += [] if graph.active is None else [graph.active]
    outputs = _names(graph.outputs) + [s.output for s in graph.state]
    for what, names in (("input", inputs), ("output", outputs), ("state", _names(graph.state))):
        if repeated := {n for n in names if names.count(n) > 1}:
            raise BundleError(f"graphs.{name} has the {what} {min(repeated)!r} twice")
    _require(bool(graph.outputs), f"graphs.{name}.outputs is empty")


def _check_tensors(name: str, graph: Graph) -> None:
    tensors: list[Tensor | ContextTensor | StatePort]
    tensors = [*graph.inputs, *graph.outputs, *graph.context, *graph.state]
    for tensor in tensors:
        where = f"graphs.{name}: {tensor.name!r}"
        _require(tensor.dtype in DTYPES, f"{where} has the dtype {tensor.dtype!r}, not one of ours")
        sizes = [size for size in tensor.shape if isinstance(size, int)]
        _require(
            tensor.shape[:1] == ("batch",) and all(0 < size <= LARGEST_SIZE for size in sizes),
            f"{where} has the shape {list(tensor.shape)}: the first axis must be 'batch' and "
            "sizes positive",
        )
    for port in graph.state:
        _require(
            all(isinstance(size, int) for size in port.shape[1:]),
            f"graphs.{name}: the state {port.name!r} has the shape {list(port.shape)}: "
            "what is carried has a fixed size a row",
        )
    row = sum(_row_elements(tensor) for tensor in tensors)
    _require(
        row <= LARGEST_ROW,
        f"graphs.{name}: one row has {row} elements, more than the {LARGEST_ROW} there may be",
    )
    for context in graph.context:
        _require(
            context.pad_multiple is None or context.pad_multiple > 0,
            f"graphs.{name}: {context.name!r} has the pad_multiple {context.pad_multiple}",
        )


def _check_step(step: Graph, name: str = "step") -> None:
    _require(len(step.inputs) == 1, f"graphs.{name} must have one input, has {len(step.inputs)}")
    _check_fixed(step, name)


def _check_fixed(graph: Graph, name: str) -> None:
    for tensor in (*graph.inputs, *graph.outputs):
        _require(
            all(isinstance(size, int) for size in tensor.shape[1:]),
            f"graphs.{name}: {tensor.name!r} has the shape {list(tensor.shape)}, "
            "but one step has one free axis, 'batch'",
        )


def _check_joined(step: Graph, predictor: Graph, joiner: Graph) -> None:
    """The predictor steps by symbols; the joiner makes logits of what it and the encoder give."""
    _check_step(predictor, "predictor")
    _require(
        not predictor.context and all(port.initial == "zeros" for port in predictor.state),
        "graphs.predictor has no context, and its states start from zeros",
    )
    _check_fixed(joiner, "joiner")
    _require(
        not joiner.state and not joiner.context and joiner.active is None,
        "graphs.joiner has no state, no context and no active mask",
    )
    _require(
        len(joiner.inputs) == 2 and len(joiner.outputs) == 1,
        "graphs.joiner must have two inputs and one output",
    )
    _require(
        _shapes(joiner.inputs) == _shapes((*step.outputs, *predictor.outputs)),
        "graphs.joiner must read the output of graphs.step and that of graphs.predictor",
    )


def _check_sequence(sequence: Graph, step: Graph) -> None:
    _require(len(sequence.inputs) == 2, "graphs.sequence must have two inputs, x and lengths")
    _check_lengths("sequence", sequence.inputs[1])
    _require(
        _with_time(step.inputs) == _shapes(sequence.inputs[:1])
        and _with_time(step.outputs) == _shapes(sequence.outputs),
        "graphs.sequence must have the inputs and outputs of graphs.step with 'time' as second "
        "axis",
    )
    _require(
        sequence.state == step.state and sequence.context == step.context,
        "graphs.sequence and graphs.step must have the same state and the same context",
    )
    _require(sequence.active is None, "graphs.sequence has lengths, so it takes no active mask")


def _check_whole(sequence: Graph) -> None:
    """A graph that reads whole sequences, without a step: it carries nothing."""
    _require(len(sequence.inputs) == 2, "graphs.sequence must have two inputs, x and lengths")
    _check_lengths("sequence", sequence.inputs[1])
    _require(
        sequence.inputs[0].shape[1:2] == ("time",),
        "graphs.sequence must read [batch, time, …]",
    )
    for tensor in (sequence.inputs[0], *sequence.outputs):
        timed = tensor.shape[1:2] == ("time",)
        _require(
            all(isinstance(size, int) for size in tensor.shape[2 if timed else 1 :]),
            f"graphs.sequence: {tensor.name!r} has the shape {list(tensor.shape)}, but its free "
            "axes are 'batch' and, second, 'time'",
        )
    _require(
        not sequence.state and not sequence.context and sequence.active is None,
        "graphs.sequence has no state, no context and no active mask without graphs.step",
    )


def _check_prompt(prompt: Graph, sequence: Graph, step: Graph) -> None:
    _require(
        prompt.inputs == sequence.inputs and prompt.outputs == step.outputs,
        "graphs.prompt must have the inputs of graphs.sequence and the outputs of graphs.step",
    )
    _require(
        prompt.state == step.state and prompt.context == step.context,
        "graphs.prompt and graphs.step must have the same state and the same context",
    )
    _require(prompt.active is None, "graphs.prompt has lengths, so it takes no active mask")


def _check_encode(encode: Graph) -> None:
    _require(
        len(encode.inputs) == 2 and encode.inputs[0].shape[1:2] == ("source",),
        "graphs.encode must have two inputs, the source [batch, source, …] and its lengths",
    )
    _check_lengths("encode", encode.inputs[1])
    _require(not encode.state and not encode.context, "graphs.encode has no state and no context")


def _check_lengths(name: str, tensor: Tensor) -> None:
    _require(
        (tensor.dtype, tensor.shape) == ("int64", ("batch",)),
        f"graphs.{name}: the last input must be lengths, int64 [batch], not {tensor.name!r} "
        f"{tensor.dtype} {list(tensor.shape)}",
    )


def _check_origins(graphs: dict[str, Graph]) -> None:
    """What a step takes from `encode` must come out of it."""
    made = (
        {t.name: (t.dtype, t.shape) for t in graphs["encode"].outputs} if "encode" in graphs else {}
    )
    step = graphs["step"]
    for tensor in step.context:
        _require(
            made.get(tensor.name) == (tensor.dtype, tensor.shape),
            f"graphs.step: the context {tensor.name!r} must be an output of graphs.encode of the "
            "same dtype and shape",
        )
    for port in step.state:
        if isinstance(port.initial, dict) and set(port.initial) != {"file", "name"}:
            _require(
                set(port.initial) == {"from", "output"}
                and port.initial["from"] == "encode"
                and made.get(port.initial["output"]) == (port.dtype, port.shape),
                f"graphs.step: the state {port.name!r} must start from an output of graphs.encode "
                f"of the same dtype and shape, or from an array of a file, not from {port.initial}",
            )


def initial_files(graphs: dict[str, Graph]) -> dict[str, str]:
    """The files that states start from, by the place that names them."""
    return {
        f"graphs.{name}: the state {port.name!r}": port.initial["file"]
        for name, graph in graphs.items()
        for port in graph.state
        if isinstance(port.initial, dict) and "file" in port.initial
    }


def _row_elements(tensor: Tensor | ContextTensor | StatePort) -> int:
    """Elements of one row, an axis without a size counted as one."""
    return math.prod(size for size in tensor.shape if isinstance(size, int))


def _names(tensors: Iterable[Tensor | ContextTensor | StatePort]) -> list[str]:
    return [tensor.name for tensor in tensors]


def _shapes(tensors: Iterable[Tensor | ContextTensor]) -> list[tuple[object, ...]]:
    return [(t.name, t.dtype, t.shape) for t in tensors]


def _with_time(tensors: Iterable[Tensor]) -> list[tuple[object, ...]]:
    return [(t.name, t.dtype, ("batch", "time", *t.shape[1:])) for t in tensors]


def _require(kept: bool, fault: str) -> None:
    if not kept:
        raise BundleError(fault)
