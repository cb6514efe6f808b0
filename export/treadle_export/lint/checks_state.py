"""State that a stream needs: what a layer starts from, what it leaves, and how long each row is."""

from collections.abc import Iterator

import onnx_ir as ir

from treadle_export.lint.finding import Check, Found, Severity
from treadle_export.lint.recurrences import RecurrentLayer
from treadle_export.lint.subject import Subject, label
from treadle_export.lint.values import constant, size


def _baked_start(subject: Subject) -> Iterator[Found]:
    for layer in subject.layers:
        reasons = _baked_states(subject, layer)
        if reasons and layer.direction == "forward":
            yield Found(
                "warning",
                f"{subject.place(layer.node)} starts every call from the same state: "
                f"{', '.join(reasons)}",
                label(layer.node),
            )


def _baked_states(subject: Subject, layer: RecurrentLayer) -> list[str]:
    reasons = []
    for name, _ in layer.states:
        value = layer.given(name)
        if value is None:
            reasons.append(f"{name} is left out")
        elif constant(value) is not None:
            reasons.append(f"{name} is the constant {value.name!r}")
        elif not subject.tracer.caller_gives(value):
            reasons.append(f"{name} is made from constants alone{_maker(value)}")
    return reasons


def _maker(value: ir.Value) -> str:
    node = value.producer()
    return "" if node is None else f", by {node.op_type} node {label(node)!r}"


def _lost_end(subject: Subject) -> Iterator[Found]:
    for layer in subject.layers:
        lost = [end for _, end in layer.states if not _is_returned(subject, layer, end)]
        if lost and layer.direction == "forward":
            yield Found(
                "warning",
                f"{subject.place(layer.node)} does not give its final state back: no output of "
                f"the model holds {' or '.join(lost)}",
                label(layer.node),
            )


def _is_returned(subject: Subject, layer: RecurrentLayer, end: str) -> bool:
    final, outputs = layer.made(end), layer.made("Y")
    if final is not None and subject.tracer.caller_gets(final):
        return True
    # Without padding the last of a layer's outputs is its hidden state.
    whole = end == "Y_h" and layer.given("sequence_lens") is None and outputs is not None
    return whole and outputs is not None and subject.tracer.caller_gets(outputs)


def _ignored_lengths(subject: Subject) -> Iterator[Found]:
    for layer in subject.layers:
        lengths = layer.given("sequence_lens")
        if lengths is not None and subject.tracer.caller_gives(lengths):
            continue
        if not _may_be_padded(layer):
            continue
        how = "gets no sequence_lens" if lengths is None else "gets sequence_lens that are constant"
        severity, effect = _effect_of_padding(subject, layer)
        yield Found(severity, f"{subject.place(layer.node)} {how}: {effect}", label(layer.node))


def _may_be_padded(layer: RecurrentLayer) -> bool:
    """Rows are filled up to their longest neighbour, or to a number of steps that is fixed."""
    steps = size(layer.given("X"), layer.time_axis)
    rows = size(layer.given("X"), layer.batch_axes["X"])
    return steps != 1 if steps is not None else rows != 1


def _effect_of_padding(subject: Subject, layer: RecurrentLayer) -> tuple[Severity, str]:
    if layer.direction != "forward":
        return "warning", "its backward direction reads the padding first, and every output changes"
    ends = [value for _, name in layer.states if (value := layer.made(name)) is not None]
    read = any(end.uses() or end.is_graph_output() for end in ends)
    if read and _baked_states(subject, layer):
        return "warning", "its final state is read, and that of a short row has passed its padding"
    return "note", "a short row's final state, and its outputs behind its end, are the padding's"


def _bidirectional(subject: Subject) -> Iterator[Found]:
    for layer in subject.layers:
        if layer.direction != "forward":
            yield Found(
                "note",
                f"{subject.place(layer.node)} reads its input backwards "
                f"(direction {layer.direction!r})",
                label(layer.node),
            )


BAKED_INITIAL_STATE = Check(
    name="baked-initial-state",
    looks_for="a recurrent layer starts every call from the same state",
    costs="Each call begins again from that state, so that a sequence cannot be cut into chunks "
    "or fed step by step: it cannot stream.",
    mend="Make the state an argument of forward, hand it to the layer, and export it as an input. "
    "A layer that always reads its whole sequence in one call may stay as it is.",
    severities=("warning",),
    find=_baked_start,
)

LOST_FINAL_STATE = Check(
    name="lost-final-state",
    looks_for="the final state of a recurrent layer is thrown away",
    costs="Whoever calls has nothing to begin the next call with: it cannot stream.",
    mend="Return the state that the layer gives (h_n, or the pair h_n and c_n in PyTorch) from "
    "forward, and export it as an output. A layer that always reads its whole sequence in one "
    "call may stay as it is.",
    severities=("warning",),
    find=_lost_end,
)

IGNORED_LENGTHS = Check(
    name="ignored-lengths",
    looks_for="a recurrent layer does not know how long each row is",
    costs="A row that is padded to the length of a longer one gives other answers than alone; "
    "backward directions begin in the padding.",
    mend="Give the lengths to the layer as sequence_lens (PyTorch: pack_padded_sequence with "
    "lengths that are an input of forward, exported with the older exporter), or call with "
    "sequences of one length only.",
    severities=("warning", "note"),
    find=_ignored_lengths,
)

BIDIRECTIONAL = Check(
    name="bidirectional",
    looks_for="a recurrent layer reads backwards",
    costs="Its first output needs the last step of the input: the layer waits for the whole "
    "sequence and cannot be fed step by step.",
    mend="Nothing is wrong where the whole input is there at once, as in an encoder. To stream, "
    "train the layer forward only, or on chunks with some steps of look-ahead.",
    severities=("note",),
    find=_bidirectional,
)
