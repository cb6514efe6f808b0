"""Tiny real bundles with random weights, built node by node, so that the runtime is tested alone.

Each `write_…` function returns the path of a new bundle; the same arguments give the same bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from treadle.manifest import (
    ContextTensor,
    File,
    Graph,
    Manifest,
    StatePort,
    Tensor,
    sha256,
)
from treadle.npz import to_npz
from treadle.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pathlib import Path

EMBEDDING, HIDDEN, FEATURES = 8, 16, 5
CHARACTERS = Vocabulary(["<unknown>", "\n", *" abcdefgh"], "characters", unknown=0)
GRAPHEMES = Vocabulary(["<padding>", *"abcdefgh"], "characters", padding=0)
PHONEMES = Vocabulary(
    ["<padding>", "<start>", "<end>", "AA", "B", "CH", "D", "EH", "F", "G"],
    "symbols",
    padding=0,
    start=1,
    end=2,
)
TYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}
Array = NDArray[Any]


class GraphBuilder:
    """Collects nodes and initializers; `op` returns the name of the node's first output."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def op(
        self, kind: str, *inputs: str, outputs: list[str] | None = None, **attributes: Any
    ) -> str:
        names = outputs or [f"{kind}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0]

    def constant(self, value: Array, name: str | None = None) -> str:
        name = name or f"constant_{len(self.initializers)}"
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name: str) -> str:
        return self.constant(self.weights[name], name)

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def linear(self, x: str, name: str, output: str | None = None) -> str:
        product = self.op("MatMul", x, self.weight(f"{name}.weights"))
        outputs = [output] if output else None
        return self.op("Add", product, self.weight(f"{name}.bias"), outputs=outputs)

    def lstm(self, x: str, hidden: str, cell: str, lengths: str = "") -> tuple[str, str, str]:
        """`x` [time, batch, features] -> outputs [time, batch, H], hidden and cell [batch, H]."""
        axis = self.ints(0)
        names = [f"lstm_{part}" for part in ("outputs", "hidden", "cell")]
        weights = [self.weight(f"recurrent.{part}") for part in ("W", "R", "B")]
        initial = [self.op("Unsqueeze", state, axis) for state in (hidden, cell)]
        self.op("LSTM", x, *weights, lengths, *initial, outputs=names, hidden_size=HIDDEN)
        outputs = self.op("Squeeze", names[0], self.ints(1))
        return outputs, self.op("Squeeze", names[1], axis), self.op("Squeeze", names[2], axis)

    def keep(self, active: str, new: str, old: str, output: str) -> None:
        """Rows of `new` where active, else rows of `old`."""
        column = self.op("Unsqueeze", active, self.ints(1))
        self.op("Where", column, new, old, outputs=[output])

    def save(self, path: Path, graph: Graph) -> None:
        tensors: list[Tensor | ContextTensor] = [*graph.inputs, *graph.context]
        inputs = [_value(t.name, t.dtype, t.shape) for t in tensors]
        inputs += [_value(s.input, s.dtype, s.shape) for s in graph.state]
        if graph.active is not None:
            # An initializer of an input's name is its default, which whoever runs it may override.
            inputs.append(_value(graph.active, "bool", ("active",)))
            self.constant(np.array([True]), graph.active)
        outputs = [_value(t.name, t.dtype, t.shape) for t in graph.outputs]
        outputs += [_value(s.output, s.dtype, s.shape) for s in graph.state]
        initializers = list(self.initializers.values())
        model = helper.make_model(
            helper.make_graph(self.nodes, path.stem, inputs, outputs, initializers),
            opset_imports=[helper.make_opsetid("", 21)],
            ir_version=10,
        )
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString(deterministic=True))


def write_language_model(
    directory: Path, *, seed: int = 0, name: str = "tiny-characters", features: int | None = None
) -> Path:
    """An LSTM over characters, or over float32 vectors of `features` numbers a step."""
    bundle = _new(directory, name)
    weights = _weights(seed, EMBEDDING if features is None else features, len(CHARACTERS))
    x: tuple[str, str, tuple[int | str, ...]] = ("token", "int64", ())
    if features is not None:
        x = ("x", "float32", (features,))
    state = _state("recurrent", {"hidden": "zeros", "cell": "zeros"})
    logits = ("logits", "float32", (len(CHARACTERS),))
    graphs = _step_and_sequence(x, logits, state, ())
    step = GraphBuilder(weights)
    outputs = _lstm_step(step, _looked_up(step) if features is None else "x", state)
    step.linear(outputs, "output", "logits")
    step.save(bundle / "step.onnx", graphs["step"])
    sequence = GraphBuilder(weights)
    lookup = (
        sequence.op("Gather", sequence.weight("embedding"), "token") if features is None else "x"
    )
    outputs = _lstm_sequence(sequence, lookup, state)
    _masked(sequence, sequence.linear(outputs, "output"))
    sequence.save(bundle / "sequence.onnx", graphs["sequence"])
    vocabularies = {"symbols": CHARACTERS} if features is None else {}
    return _finish(bundle, "language-modelling", graphs, vocabularies, {"start": 1})


def write_transducer(
    directory: Path, *, seed: int = 0, name: str = "tiny-pronounce", start_from_encode: bool = True
) -> Path:
    """Letters to phonemes: attention over embedded letters, an LSTM decoder.

    With `start_from_encode` the decoder's hidden state starts from the encoder, else from zeros.
    """
    bundle = _new(directory, name)
    weights = _weights(seed, EMBEDDING, len(PHONEMES), len(GRAPHEMES))
    initial = {"from": "encode", "output": "initial.decoder.0.hidden"}
    state = _state(
        "decoder", {"hidden": initial if start_from_encode else "zeros", "cell": "zeros"}
    )
    context = tuple(
        ContextTensor(name, "float32", shape, pad_multiple=16, pad_value=pad)
        for name, shape, pad in (
            ("keys", ("batch", "memory", HIDDEN), 0.0),
            ("values", ("batch", "memory", HIDDEN), 0.0),
            ("memory_mask", ("batch", "memory"), -1e9),
        )
    )
    logits = ("logits", "float32", (len(PHONEMES),))
    graphs = _step_and_sequence(("token", "int64", ()), logits, state, context)
    graphs["encode"] = _write_encode(bundle, weights, context, start_from_encode)
    step = GraphBuilder(weights)
    hidden = _lstm_step(step, _looked_up(step), state)
    attended = _attend(step, step.op("Unsqueeze", hidden, step.ints(1)))
    attended = step.op("Squeeze", attended, step.ints(1))
    step.linear(step.op("Add", hidden, attended), "output", "logits")
    step.save(bundle / "step.onnx", graphs["step"])
    sequence = GraphBuilder(weights)
    hidden = _lstm_sequence(sequence, _looked_up(sequence), state)
    attended = sequence.op("Add", hidden, _attend(sequence, hidden))
    _masked(sequence, sequence.linear(attended, "output"))
    sequence.save(bundle / "sequence.onnx", graphs["sequence"])
    vocabularies = {"input": GRAPHEMES, "output": PHONEMES}
    decoding = {"start": 1, "end": 2, "max_length": 12}
    return _finish(bundle, "transduction", graphs, vocabularies, decoding)


def write_generator(
    directory: Path, *, name: str = "tiny-generator", written: Vocabulary = PHONEMES
) -> Path:
    """A letter as label, ten symbols to write: the graphs of a transducer, sources of one step."""
    bundle = write_transducer(directory, name=name, seed=3)
    document = json.loads((bundle / "manifest.json").read_text())
    files = document["vocabularies"]
    written.write(bundle / files["output"])
    document |= {
        "task": "generation",
        "vocabularies": {"labels": files["input"], "output": files["output"]},
    }
    reseal(bundle, document)
    return bundle


def write_whole_sequence(directory: Path, *, name: str = "tiny-whole") -> Path:
    """Every step sees itself and its mirror image: numbers in, numbers out, nothing carried."""
    bundle = _new(directory, name)
    inputs = (
        Tensor("x", "float32", ("batch", "time", FEATURES)),
        Tensor("lengths", "int64", ("batch",)),
    )
    outputs = (
        Tensor("scores", "float32", ("batch", "time", HIDDEN)),
        Tensor("largest", "float32", ("batch", HIDDEN)),
    )
    graph = Graph("sequence.onnx", inputs, outputs)
    g = GraphBuilder({"w": np.linspace(-1, 1, FEATURES * HIDDEN, dtype=np.float32)})
    g.weights["w"] = g.weights["w"].reshape(FEATURES, HIDDEN)
    mirrored = g.op("ReverseSequence", "x", "lengths", time_axis=1, batch_axis=0)
    both = g.op("Add", "x", g.op("Mul", mirrored, g.constant(np.array(2, np.float32))))
    g.op("MatMul", both, g.weight("w"), outputs=["scores"])
    g.op("ReduceMax", "scores", g.ints(1), outputs=["largest"], keepdims=0)
    g.save(bundle / "sequence.onnx", graph)
    return _finish(bundle, "whole-sequence", {"sequence": graph}, {}, {})


def start_from_file(bundle: Path, rows: dict[str, Array], file: str = "initial.npz") -> Path:
    """Lets states of a bundle start from rows of their own: name of a state -> its row."""
    document = json.loads((bundle / "manifest.json").read_text())
    for graph in document["graphs"].values():
        for port in graph["state"]:
            if port["name"] in rows:
                port["initial"] = {"file": file, "name": port["name"]}
    (bundle / file).write_bytes(to_npz(rows))
    document["files"][file] = {"sha256": "", "bytes": 0}
    reseal(bundle, document)
    return bundle


def reseal(bundle: Path, document: dict[str, Any]) -> None:
    """Write `document` as the manifest with digests and seal that fit, as a forger would."""
    document = {**document, "digest": "", "seal": ""}
    document["files"] = {
        name: {"sha256": sha256(content := (bundle / name).read_bytes()), "bytes": len(content)}
        for name in document["files"]
    }
    manifest = Manifest.from_json(document).sealed()
    (bundle / "manifest.json").write_text(json.dumps(manifest.to_json(), indent=1))


def _write_encode(
    bundle: Path, weights: dict[str, Array], context: tuple[ContextTensor, ...], initial: bool
) -> Graph:
    outputs = [Tensor(t.name, t.dtype, t.shape) for t in context]
    if initial:
        outputs.append(Tensor("initial.decoder.0.hidden", "float32", ("batch", HIDDEN)))
    inputs = (
        Tensor("source", "int64", ("batch", "source")),
        Tensor("source_lengths", "int64", ("batch",)),
    )
    graph = Graph("encode.onnx", inputs, tuple(outputs))
    g = GraphBuilder(weights)
    memory = g.op("Tanh", g.op("Gather", g.weight("source_embedding"), "source"))
    g.linear(memory, "keys", "keys")
    g.linear(memory, "values", "values")
    inside = _inside(g, "source", "source_lengths")
    zero, masked = g.constant(np.array(0, np.float32)), g.constant(np.array(-1e9, np.float32))
    g.op("Where", inside, zero, masked, outputs=["memory_mask"])
    if initial:
        column = g.op("Unsqueeze", inside, g.ints(2))
        kept = g.op("Where", column, "values", zero)
        largest = g.op("ReduceMax", kept, g.ints(1), keepdims=0)
        g.op("Tanh", largest, outputs=["initial.decoder.0.hidden"])
    g.save(bundle / "encode.onnx", graph)
    return graph


def _looked_up(g: GraphBuilder) -> str:
    return g.op("Gather", g.weight("embedding"), "token")


def _lstm_step(g: GraphBuilder, x: str, state: tuple[StatePort, ...]) -> str:
    ports = {port.name.rpartition(".")[2]: port for port in state}
    x = g.op("Unsqueeze", x, g.ints(0))
    outputs, hidden, cell = g.lstm(x, ports["hidden"].input, ports["cell"].input)
    g.keep("active", hidden, ports["hidden"].input, ports["hidden"].output)
    g.keep("active", cell, ports["cell"].input, ports["cell"].output)
    return g.op("Squeeze", outputs, g.ints(0))


def _lstm_sequence(g: GraphBuilder, x: str, state: tuple[StatePort, ...]) -> str:
    ports = {port.name.rpartition(".")[2]: port for port in state}
    x = g.op("Transpose", x, perm=[1, 0, 2])
    lengths = g.op("Cast", "lengths", to=TensorProto.INT32)
    outputs, hidden, cell = g.lstm(x, ports["hidden"].input, ports["cell"].input, lengths)
    g.op("Identity", hidden, outputs=[ports["hidden"].output])
    g.op("Identity", cell, outputs=[ports["cell"].output])
    return g.op("Transpose", outputs, perm=[1, 0, 2])


def _attend(g: GraphBuilder, hidden: str) -> str:
    """`hidden` [batch, time, H] -> what the softmax picks from values, of the same shape."""
    scores = g.op("MatMul", hidden, g.op("Transpose", "keys", perm=[0, 2, 1]))
    mask = g.op("Unsqueeze", "memory_mask", g.ints(1))
    return g.op("MatMul", g.op("Softmax", g.op("Add", scores, mask), axis=-1), "values")


def _masked(g: GraphBuilder, logits: str) -> None:
    inside = g.op("Unsqueeze", _inside(g, logits, "lengths"), g.ints(2))
    g.op("Where", inside, logits, g.constant(np.array(0, np.float32)), outputs=["logits"])


def _inside(g: GraphBuilder, like: str, lengths: str) -> str:
    """Bool [batch, columns]: true up to each row's length, with the columns of `like`."""
    columns = g.op("Gather", g.op("Shape", like), g.constant(np.array(1, np.int64)))
    zero, one = g.constant(np.array(0, np.int64)), g.constant(np.array(1, np.int64))
    places = g.op("Unsqueeze", g.op("Range", zero, columns, one), g.ints(0))
    return g.op("Less", places, g.op("Unsqueeze", lengths, g.ints(1)))


def _weights(seed: int, inputs: int, symbols: int, sources: int = 1) -> dict[str, Array]:
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return generator.normal(size=shape).astype(np.float32) * np.float32(0.6)

    return {
        "embedding": normal(symbols, EMBEDDING),
        "source_embedding": normal(sources, EMBEDDING),
        "recurrent.W": normal(1, 4 * HIDDEN, inputs),
        "recurrent.R": normal(1, 4 * HIDDEN, HIDDEN),
        "recurrent.B": normal(1, 8 * HIDDEN),
        "keys.weights": normal(EMBEDDING, HIDDEN),
        "keys.bias": normal(HIDDEN),
        "values.weights": normal(EMBEDDING, HIDDEN),
        "values.bias": normal(HIDDEN),
        "output.weights": normal(HIDDEN, symbols),
        "output.bias": normal(symbols),
    }


def _state(path: str, initial: dict[str, Any]) -> tuple[StatePort, ...]:
    return tuple(
        StatePort(
            f"{path}.0.{part}",
            f"state.{path}.0.{part}",
            f"next_state.{path}.0.{part}",
            "float32",
            ("batch", HIDDEN),
            initial=start,
            bound=1.0 if part == "hidden" else None,
        )
        for part, start in initial.items()
    )


def _step_and_sequence(
    x: tuple[str, str, tuple[int | str, ...]],
    logits: tuple[str, str, tuple[int | str, ...]],
    state: tuple[StatePort, ...],
    context: tuple[ContextTensor, ...],
) -> dict[str, Graph]:
    def tensor(parts: tuple[str, str, tuple[int | str, ...]], *axes: str) -> Tensor:
        return Tensor(parts[0], parts[1], (*axes, *parts[2]))

    lengths = Tensor("lengths", "int64", ("batch",))
    step_inputs, step_outputs = (tensor(x, "batch"),), (tensor(logits, "batch"),)
    inputs, outputs = (tensor(x, "batch", "time"), lengths), (tensor(logits, "batch", "time"),)
    return {
        "step": Graph("step.onnx", step_inputs, step_outputs, context, state, active="active"),
        "sequence": Graph("sequence.onnx", inputs, outputs, context, state),
    }


def _value(name: str, dtype: str, shape: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TYPES[dtype], shape)


def _new(directory: Path, name: str) -> Path:
    bundle = directory / f"{name}.treadle"
    bundle.mkdir(parents=True)
    return bundle


def _finish(
    bundle: Path,
    task: str,
    graphs: dict[str, Graph],
    vocabularies: dict[str, Vocabulary],
    decoding: dict[str, Any],
) -> Path:
    for role, vocabulary in vocabularies.items():
        vocabulary.write(bundle / f"{role}.json")
    files = {
        path.name: File(sha256(path.read_bytes()), path.stat().st_size)
        for path in sorted(bundle.iterdir())
    }
    manifest = Manifest(
        name=bundle.stem,
        task=task,
        digest="",
        files=files,
        graphs=graphs,
        vocabularies={role: f"{role}.json" for role in vocabularies},
        decoding=decoding,
        precision="float32",
        plan={},
        target="cpu",
        requires={"onnxruntime": "1.22", "operators": []},
        evidence={},
        evaluation={},
        licence={},
        provenance={},
        seal="",
    ).sealed()
    (bundle / "manifest.json").write_text(json.dumps(manifest.to_json(), indent=1))
    return bundle
