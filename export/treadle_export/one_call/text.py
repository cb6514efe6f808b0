"""Text to ids and ids to text by ONNX's operators on strings.

`Tokenizer` of com.microsoft splits as `Vocabulary.split` does, `LabelEncoder` of ai.onnx.ml numbers
the symbols. A word that is unknown becomes the unknown one; any other symbol gets an id that no
table has, so that the engine stops with an error. Answers are joined with `StringConcat` in a Loop.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from treadle.errors import UnsupportedGraph
from treadle.vocabulary import Vocabulary
from treadle_export.one_call.beginning import declared
from treadle_export.passes.rewriting import MICROSOFT, Emitter

TEXT, ANSWER = "text", "answer"
ML, ML_VERSION = "ai.onnx.ml", 4
_SPACE = r"\s\p{Z}\x0b\x1c-\x1f\x85"  # what Python calls white space, in RE2's words
_WORD = r"\p{L}\p{N}_'"
_SPLIT: dict[str, dict[str, Any]] = {
    "characters": {"separators": [""]},
    "symbols": {"tokenexp": f"[^{_SPACE}]+"},
    "words": {"tokenexp": f"[{_WORD}]+|[^{_WORD}{_SPACE}]"},
}
"""Kind of a vocabulary -> the attributes of Tokenizer that split its texts."""
_NOTHING = -1  # the id of what fills up a row of symbols, before it is counted and replaced


def check_kind(vocabulary: Vocabulary | None, side: str) -> Vocabulary:
    """The vocabulary, if its texts can be read and written in a graph.

    Raises:
        UnsupportedGraph: there is none, or it holds subwords.
    """
    if vocabulary is None or vocabulary.kind not in _SPLIT:
        found = "none" if vocabulary is None else "one of subwords"
        raise UnsupportedGraph(
            f"expected a vocabulary of characters, symbols or words {side}, got {found}; leave "
            "--text out, and give and take ids"
        )
    return vocabulary


def ids_of(
    e: Emitter, vocabulary: Vocabulary, text: ir.Value, *, lowercase: bool
) -> tuple[ir.Value, ir.Value]:
    """Ids int64 [B, T] of texts [B], 0 behind the end of a row, and their lengths int64 [B]."""
    how = _SPLIT[vocabulary.kind]
    split = e.op("Tokenizer", text, domain=MICROSOFT, mark=0, pad_value="", mincharnum=1, **how)
    numbers = _numbers(vocabulary, lowercase=lowercase)
    unknown = vocabulary.unknown if vocabulary.kind == "words" else None
    ids = e.op(
        "LabelEncoder",
        split,
        domain=ML,
        keys_strings=list(numbers),
        values_int64s=list(numbers.values()),
        default_int64=len(vocabulary) if unknown is None else unknown,
    )
    there = e.op("Cast", e.op("Not", e.op("Equal", ids, e.constant(np.int64(_NOTHING)))), to=7)
    lengths = e.op("ReduceSum", there, e.axes(1), keepdims=0)
    return e.op("Max", ids, e.constant(np.int64(0))), lengths


def _numbers(vocabulary: Vocabulary, *, lowercase: bool) -> Mapping[str, int]:
    """Symbol -> id, as `Vocabulary.encode` has it, and as it is written in capitals."""
    known = {s: i for i, s in enumerate(vocabulary.symbols) if i not in vocabulary.special}
    numbers = {"": _NOTHING, **known}
    if lowercase or vocabulary.kind == "words":
        for symbol, number in known.items():
            for written in (symbol.upper(), symbol.capitalize()):
                if written.lower() == symbol:
                    numbers.setdefault(written, number)
    return numbers


def text_of(e: Emitter, vocabulary: Vocabulary, ids: ir.Value, lengths: ir.Value) -> ir.Value:
    """Texts [R] of ids [R, T] up to their lengths [R], as `Vocabulary.text` writes them."""
    shown = np.array([i not in vocabulary.special for i in range(len(vocabulary))])
    pieces = [s if shown[i] else "" for i, s in enumerate(vocabulary.symbols)]
    by_step = e.op("Transpose", ids, perm=[1, 0])
    rows = e.op("Shape", lengths)
    empty = e.op("Expand", _strings(e, [""]), rows)
    begun = e.op("Expand", e.constant(np.array(False)), rows)
    steps = e.op("Squeeze", e.op("Shape", by_step, start=0, end=1))
    body = _joining(e.root, pieces, shown, by_step, lengths, vocabulary.space)
    going = e.constant(np.array(True))
    text, _ = e.ops("Loop", steps, going, empty, begun, outputs=2, body=body)
    return text


def _joining(
    root: ir.Graph,
    pieces: list[str],
    shown: np.ndarray,
    by_step: ir.Value,
    lengths: ir.Value,
    space: str,
) -> ir.Graph:
    """(step, going, text, whether it has begun) -> the same with one symbol more."""
    step = declared("join.step", ir.DataType.INT64)
    going = declared("join.going", ir.DataType.BOOL)
    text = declared("join.text", ir.DataType.STRING, "rows")
    begun = declared("join.begun", ir.DataType.BOOL, "rows")
    e = Emitter(root)
    ids = e.op("Gather", by_step, step, axis=0)
    within = e.op("Less", step, lengths)
    seen = e.op("And", within, e.op("Gather", e.constant(shown), ids, axis=0))
    nothing = _strings(e, [""])
    piece = e.op("Where", seen, e.op("Gather", _strings(e, pieces), ids, axis=0), nothing)
    if space:
        between = e.op("And", seen, begun)
        piece = e.op("StringConcat", e.op("Where", between, _strings(e, [space]), nothing), piece)
    outputs = [
        e.op("Identity", going),
        e.op("StringConcat", text, piece),
        e.op("Or", begun, seen),
    ]
    e.name_after("join.")
    return ir.Graph([step, going, text, begun], outputs, nodes=e.nodes, name="join")


def _strings(e: Emitter, values: list[str]) -> ir.Value:
    """A constant of strings; equal ones are one."""
    content = hashlib.sha256("\0".join(values).encode()).hexdigest()[:12]
    name = f"constant.string.{len(values)}.{content}"
    if name not in e.root.initializers:
        constant = declared(name, ir.DataType.STRING, len(values))
        encoded = [value.encode() for value in values]
        constant.const_value = ir.StringTensor(encoded, shape=constant.shape, name=name)
        e.root.register_initializer(constant)
    return e.root.initializers[name]
