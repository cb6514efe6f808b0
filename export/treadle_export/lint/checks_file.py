"""The file as a whole: its versions, the weights beside it, and whether anything recurs in it."""

import difflib
from collections import defaultdict
from collections.abc import Iterator

import onnx_ir as ir

from treadle_export.canonical import IR_VERSION, OPSET
from treadle_export.lint.external import fault
from treadle_export.lint.finding import Check, Found
from treadle_export.lint.recurrences import STANDARD
from treadle_export.lint.subject import Subject, label, listed
from treadle_export.lint.values import dims

_SIMILAR = 0.6
"""How like each other two names are that may belong to one state, as `h_in` and `h_out` are."""


def _too_new(subject: Subject) -> Iterator[Found]:
    model = subject.model
    opset = max((model.opset_imports.get(domain, 0) for domain in STANDARD), default=0)
    reasons = [
        f"{name} {number} (devices are sure to know {known})"
        for name, number, known in (
            ("IR version", model.ir_version, IR_VERSION),
            ("opset", opset, OPSET),
        )
        if number > known
    ]
    if reasons:
        yield Found("warning", f"the file is written in {' and '.join(reasons)}")


def _external(subject: Subject) -> Iterator[Found]:
    faults = defaultdict[tuple[str, str], list[str]](list)
    for tensor in _external_tensors(subject):
        reason = fault(tensor)
        if reason is not None:
            faults[str(tensor.location), reason].append(tensor.name or "unnamed")
    for (location, reason), names in faults.items():
        yield Found("error", f"{location!r} {reason}; it should hold {listed(names)}")


def _external_tensors(subject: Subject) -> Iterator[ir.ExternalTensor]:
    graphs = [subject.model.graph, *subject.model.graph.subgraphs()]
    for value in (value for graph in graphs for value in graph.initializers.values()):
        if isinstance(value.const_value, ir.ExternalTensor):
            yield value.const_value
    for attribute in (a for node in subject.nodes for a in node.attributes.values()):
        if not attribute.is_ref() and isinstance(attribute.value, ir.ExternalTensor):
            yield attribute.value


def _no_recurrence(subject: Subject) -> Iterator[Found]:
    if subject.layers:
        return
    loops = [node for node in subject.nodes if node.op_type in ("Loop", "Scan")]
    steps = _likely_states(subject)
    hint = "nothing in it carries a state"
    if loops:
        hint = f"{listed([label(node) for node in loops])} may be one written as Loop or Scan"
    elif steps:
        hint = f"it may be one step of one, with its state outside ({listed(steps)})"
    yield Found("note", f"there is no LSTM, GRU or RNN node in the file; {hint}")


def _likely_states(subject: Subject) -> list[str]:
    """Pairs of an input and an output that look like one state, the output made from the input."""
    pairs = []
    for given in subject.model.graph.inputs:
        made = [end for end in subject.model.graph.outputs if _alike(given, end)]
        made.sort(key=lambda end: _likeness(given, end), reverse=True)
        for end in made:
            if any(origin is given for origin in subject.tracer.upstream(end)):
                pairs.append(f"{given.name} -> {end.name}")
                break
    return pairs


def _alike(given: ir.Value, made: ir.Value) -> bool:
    """Same type and shape; where a shape is not known, at least a similar name."""
    if given is made or {given.dtype, made.dtype} != {ir.DataType.FLOAT}:
        return False
    sizes, others = dims(given), dims(made)
    if sizes is None or others is None:
        return _likeness(given, made) > _SIMILAR
    return len(sizes) > 1 and sizes == others


def _likeness(one: ir.Value, other: ir.Value) -> float:
    return difflib.SequenceMatcher(None, str(one.name), str(other.name)).ratio()


TOO_NEW = Check(
    name="too-new",
    looks_for="the file is written for newer engines than devices have",
    costs="An engine that does not know the version refuses the whole file.",
    mend="Export with an older opset (PyTorch: opset_version), or convert with "
    "onnx.version_converter; lower ir_version when saving, if no newer type is in use.",
    severities=("warning",),
    find=_too_new,
)

EXTERNAL_DATA = Check(
    name="external-data",
    looks_for="weights kept beside the file are missing, outside its directory or cut short",
    costs="No session can be opened; data outside the directory are refused, for they could be "
    "anything.",
    mend="Keep the data file in the directory of the ONNX file, under the name it was exported "
    "with, and move both together; or save the model anew with onnx.save from where all is whole.",
    severities=("error",),
    find=_external,
)

NO_RECURRENCE = Check(
    name="no-recurrence",
    looks_for="there is no recurrent node in the file",
    costs="The checks of recurrent layers have nothing to look at, so their silence says nothing.",
    mend="If the network is recurrent, export it over whole sequences with nn.LSTM, nn.GRU or "
    "nn.RNN; a graph of one step with its state as inputs and outputs is fine as it is.",
    severities=("note",),
    find=_no_recurrence,
)
