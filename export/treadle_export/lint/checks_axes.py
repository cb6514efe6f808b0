"""Axes that should be free and are numbers: the batch, and the time."""

from collections.abc import Iterator

import onnx_ir as ir

from treadle_export.lint.finding import Check, Found
from treadle_export.lint.pinning import pinned
from treadle_export.lint.recurrences import RecurrentLayer
from treadle_export.lint.subject import Subject, label
from treadle_export.lint.values import dims, integers, shown, size


def _frozen_batch(subject: Subject) -> Iterator[Found]:
    for layer in subject.layers:
        reasons = _fixed_batches(subject, layer) or _pinned(layer, "batch")
        if reasons:
            yield Found(
                "warning",
                f"{subject.place(layer.node)} has a fixed batch: {'; '.join(reasons)}",
                label(layer.node),
            )


def _frozen_time(subject: Subject) -> Iterator[Found]:
    for layer in subject.layers:
        steps = size(layer.given("X"), layer.time_axis)
        # One step is what a stream feeds; where it cannot go on, the checks of states say so.
        if steps == 1:
            continue
        reasons = _pinned(layer, "time") if steps is None else [_why(subject, layer, "X", steps)]
        if reasons:
            yield Found(
                "warning",
                f"{subject.place(layer.node)} has a fixed number of steps: {'; '.join(reasons)}",
                label(layer.node),
            )


def _zero_size(subject: Subject) -> Iterator[Found]:
    for name in subject.zero_inputs:
        yield Found("error", f"the input {name!r} is declared with a size of 0")


def _fixed_batches(subject: Subject, layer: RecurrentLayer) -> list[str]:
    fixed = {name: size(layer.given(name), axis) for name, axis in layer.batch_axes.items()}
    if fixed["X"] is not None:
        return [_why(subject, layer, "X", fixed["X"])]
    return [_why(subject, layer, name, number) for name, number in fixed.items() if number]


def _why(subject: Subject, layer: RecurrentLayer, name: str, number: int) -> str:
    """The sizes of an input, and what says the number that is in them."""
    value = layer.given(name)
    if value is None:
        return ""
    found, source = f"{name} is {shown(value)}", _source(subject, value, number)
    return f"{found} ({source})" if source else found


def _source(subject: Subject, value: ir.Value, number: int) -> str | None:
    """The nearest declared input or Reshape that says the number, or the constant itself."""
    for origin in subject.tracer.upstream(value):
        node = origin.producer()
        if node is None and number in (dims(origin) or ()):
            if origin.const_value is not None:
                if origin is value:
                    return f"the constant {origin.name!r}"
                continue
            return f"the input {origin.name!r} is declared {shown(origin)}"
        if node is not None and node.op_type == "Reshape" and len(node.inputs) > 1:
            target = integers(node.inputs[1])
            if target is not None and number in target:
                return f"Reshape node {label(node)!r} writes {list(target)}"
    return None


def _pinned(layer: RecurrentLayer, axis: str) -> list[str]:
    """The Reshape nodes behind a layer that write a number over one of its free axes."""
    return [
        f"Reshape node {label(pin.node)!r} after it writes {list(pin.target)}, which makes the "
        f"{axis} {pin.number}"
        for pin in pinned(layer)
        if pin.axis == axis
    ]


ZERO_SIZE = Check(
    name="zero-size",
    looks_for="an input is declared with a size of 0",
    costs="Some exporters write 0 for a size that they do not know. onnxruntime takes it at its "
    "word and refuses every input that is not empty.",
    mend="Give the axis a name in place of the number: dim_param instead of dim_value in the "
    "input's shape.",
    severities=("error",),
    find=_zero_size,
)

FROZEN_BATCH = Check(
    name="frozen-batch",
    looks_for="the batch is a fixed number",
    costs="Every call takes exactly that many sequences: a single stream must be filled up with "
    "rows that nobody reads, and more streams cannot share a call.",
    mend="Export again with the batch as a free axis (PyTorch: dynamic_shapes, or dynamic_axes "
    "with the older exporter). Where the network makes its own initial state or calls view or "
    "reshape, let it take the batch from its input's shape, not from a number.",
    severities=("warning",),
    find=_frozen_batch,
)

FROZEN_TIME = Check(
    name="frozen-time",
    looks_for="the number of steps is fixed",
    costs="Shorter sequences must be padded and longer ones cut, and a stream cannot be fed step "
    "by step or in chunks of its own length.",
    mend="Export again with the time as a free axis (PyTorch: dynamic_shapes, or dynamic_axes "
    "with the older exporter), and let view or reshape after the layer take the time from its "
    "input's shape.",
    severities=("warning",),
    find=_frozen_time,
)
