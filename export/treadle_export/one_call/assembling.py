"""One graph from inputs to answers: the beginning, the search, and text where it is asked for."""

import json
from dataclasses import asdict
from typing import Any, ClassVar, Protocol

import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle_export.canonical import IR_VERSION, OPSET
from treadle_export.one_call.beginning import Beginning, begun, declared, encoder_inputs
from treadle_export.one_call.opening import Opened
from treadle_export.one_call.row_search import Written, fill
from treadle_export.one_call.text import ANSWER, ML, ML_VERSION, TEXT, check_kind, ids_of, text_of
from treadle_export.passes.rewriting import MICROSOFT, Emitter, applied

MAX_LENGTH = "max_length"
FORMAT = "treadle-one-call/1"


class Searching(Protocol):
    """How symbols are chosen: `RowSearch` or `BeamSearch`, dataclasses both."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def inputs(self) -> dict[str, ir.Value]:
        """What a call reads beside the model's own inputs."""

    def written(
        self,
        source: Opened,
        root: ir.Graph,
        beginning: Beginning,
        max_length: ir.Value,
    ) -> Written:
        """The search in `root`, after its beginning."""


def assembled(source: Opened, searching: Searching, *, text: bool = False) -> ir.Model:
    """The graph of a whole decode; the graphs of `source` are used up.

    Raises:
        UnsupportedGraph: text is asked for, and a vocabulary has no operators for it.
    """
    root = ir.Graph([], [], nodes=[], opset_imports={"": OPSET}, name="generate")
    reading, writing = Emitter(root), Emitter(root)
    given = read = encoder_inputs(source)
    if text:
        given, read = _text_inputs(source, reading)
    asked = searching.inputs()
    max_length = declared(MAX_LENGTH, ir.DataType.INT64)
    beginning = begun(source, root, read, asked)
    written = searching.written(source, root, beginning, max_length)
    outputs = {
        "ids": (written.ids, ir.DataType.INT64, ("rows", "time")),
        "lengths": (written.lengths, ir.DataType.INT64, ("rows",)),
        "scores": (written.scores, ir.DataType.FLOAT, ("rows",)),
    }
    if text:
        answer = text_of(writing, source.written, written.ids, written.lengths)
        outputs[ANSWER] = (answer, ir.DataType.STRING, ("rows",))
    for name, (value, dtype, shape) in outputs.items():
        value.name, value.type, value.shape = name, ir.TensorType(dtype), ir.Shape(shape)
    reading.name_after("read.")
    writing.name_after("written.")
    for nodes in (reading.nodes, beginning.nodes, written.nodes, writing.nodes):
        root.extend(nodes)
    root.inputs.extend([*given.values(), max_length, *asked.values()])
    root.outputs.extend(value for value, _, _ in outputs.values())
    root.opset_imports.setdefault(MICROSOFT, 1)
    root.opset_imports.setdefault(ML, ML_VERSION)
    model = ir.Model(root, ir_version=IR_VERSION, producer_name="treadle")
    passes = (
        ir.passes.common.RemoveUnusedNodesPass(),
        ir.passes.common.RemoveUnusedOpsetsPass(),
        ir.passes.common.NameFixPass(),
        ir.passes.common.CheckerPass(),
    )
    model = applied(passes, model)
    model.metadata_props.update(described(source, searching, text=text))
    return model


def _text_inputs(source: Opened, e: Emitter) -> tuple[dict[str, ir.Value], dict[str, ir.Value]]:
    """The input `text`, and the ids and lengths that are read from it."""
    vocabulary = check_kind(source.read, "to read")
    check_kind(source.written, "to write")
    text = declared(TEXT, ir.DataType.STRING, "batch")
    lowercase = source.manifest.decoding.get("lowercase") is True
    ids, lengths = ids_of(e, vocabulary, text, lowercase=lowercase)
    names = list(encoder_inputs(source))
    if len(names) != 2:
        raise UnsupportedGraph(
            f"expected a model that reads sequences, got one that reads {', '.join(names)}; leave "
            "--text out, and give ids"
        )
    return {TEXT: text}, dict(zip(names, (ids, lengths), strict=True))


def described(source: Opened, searching: Searching, *, text: bool) -> dict[str, str]:
    """What the file says of itself: strings, JSON where a value is more than one."""
    manifest, written = source.manifest, source.written
    vocabularies = {"written": written.to_json()}
    if source.read is not None:
        vocabularies["read"] = source.read.to_json()
    return {
        "treadle.format": FORMAT,
        "treadle.name": manifest.name,
        "treadle.task": manifest.task,
        "treadle.precision": manifest.precision,
        "treadle.digest": manifest.digest,
        "treadle.search": json.dumps(asdict(searching)),
        "treadle.text": json.dumps(text),
        "treadle.start": str(source.start),
        "treadle.end": json.dumps(source.end),
        "treadle.fill": str(fill(source)),
        "treadle.max_length": json.dumps(source.max_length),
        "treadle.vocabularies": json.dumps(vocabularies),
        "treadle.licence": json.dumps(manifest.licence),
    }
