"""The contract of a bundle, manifest.json: what is in it, and what makes it the same model.

The exporter builds these objects and writes them; everything else reads them. The order of the
fields is the order in the file.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NamedTuple

from treadle.contract import check_graphs, initial_files
from treadle.document import canonical_bytes, from_document, parse_json, to_document
from treadle.errors import BundleError

FORMAT = "treadle-bundle/1"
MANIFEST_FILE = "manifest.json"
# Bytes of the manifest of a packed bundle: whoever unpacks one reads no more.
MANIFEST_LIMIT = 4 << 20
SIGNATURE_FILE = "signature.json"
# Bytes of a file that holds one signature; a larger one is something else.
SIGNATURE_LIMIT = 4096
# What lies beside the files of the bundle and is none of them.
OWN_FILES = frozenset({MANIFEST_FILE, SIGNATURE_FILE})
# Files that say how good a model is, not which model it is: outside the digest, inside the seal.
EVIDENCE_FILES = frozenset({"golden.npz"})
# The runtime pads what an encoder reads to a multiple of this many columns.
SOURCE_MULTIPLE = 16

Shape = tuple[int | str, ...]


class Task(NamedTuple):
    """Which graphs a task has, and which vocabulary numbers the ids of an integer input.

    `chooses`: whether the largest output of a step is an answer, as a symbol's is. `optional`:
    graphs that a bundle of the task may have beside them. `source_steps`: how many steps a source
    has that `encode` reads; None: any number.
    """

    graphs: tuple[str, ...]
    vocabularies: dict[str, str]
    chooses: bool = True
    optional: tuple[str, ...] = ("prompt",)
    source_steps: int | None = None


TASKS: dict[str, Task] = {
    # A classifier in both directions reads whole sequences: it has no step.
    "classification": Task(
        ("sequence",), {"step": "input", "sequence": "input"}, optional=("step", "prompt")
    ),
    "forecasting": Task(("step", "sequence"), {}, chooses=False),
    "generation": Task(
        ("step", "sequence", "encode"), {"step": "output", "encode": "labels"}, source_steps=1
    ),
    "language-modelling": Task(("step", "sequence"), {"step": "symbols"}),
    # A transducer of speech by RNN-T has two more graphs than one by CTC.
    "speech-transduction": Task(
        ("step", "sequence"),
        {"predictor": "output"},
        chooses=False,
        optional=("prompt", "predictor", "joiner"),
    ),
    # A tagger in both directions has no step either.
    "tagging": Task(
        ("sequence",), {"step": "input", "sequence": "input"}, optional=("step", "prompt")
    ),
    "transduction": Task(("step", "sequence", "encode"), {"step": "output", "encode": "input"}),
    "stateful": Task(("step", "sequence"), {}, chooses=False),
    "whole-sequence": Task(("sequence",), {}, chooses=False),
}


class Tensor(NamedTuple):
    """An input or output of a graph; `shape` holds sizes and names of axes, batch first."""

    name: str
    dtype: str
    shape: Shape


class ContextTensor(NamedTuple):
    """What a step reads but never changes: an output of `encode`, bound once a stream.

    Rows with fewer than the common number of columns are padded with `pad_value`, to a multiple
    of `pad_multiple` where it is given.
    """

    name: str
    dtype: str
    shape: Shape
    origin: Literal["encode"] = "encode"
    pad_multiple: int | None = None
    pad_value: float = 0.0


class StatePort(NamedTuple):
    """A state by name, its graph input and output, and where it starts.

    `initial` is "zeros", {"from": "encode", "output": NAME}, or {"file": FILE, "name": NAME}: the
    array NAME of an .npz file, one row. |value| <= `bound` holds by construction; None where no
    bound is known.
    """

    name: str
    input: str
    output: str
    dtype: str
    shape: Shape
    initial: Literal["zeros"] | dict[str, str]
    bound: float | None = None


class Graph(NamedTuple):
    """One ONNX file: what goes in, what comes out, what is carried.

    `active` names an optional boolean input [batch]: a row that is not active keeps its state.
    """

    file: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    context: tuple[ContextTensor, ...] = ()
    state: tuple[StatePort, ...] = ()
    active: str | None = None


class File(NamedTuple):
    """Digest ("sha256:" and 64 hexadecimal digits) and size of a file of the bundle."""

    sha256: str
    bytes: int


class Manifest(NamedTuple):
    """All that a bundle says of itself."""

    name: str
    task: str
    digest: str
    files: dict[str, File]
    graphs: dict[str, Graph]
    vocabularies: dict[str, str]
    decoding: dict[str, Any]
    precision: str
    plan: dict[str, Any]
    target: str
    requires: dict[str, Any]
    evidence: dict[str, Any]
    evaluation: dict[str, Any]
    licence: dict[str, Any]
    provenance: dict[str, Any]
    seal: str
    format: str = FORMAT

    def to_json(self) -> dict[str, Any]:
        """The manifest as a JSON object, `format` first."""
        document: dict[str, Any] = to_document(self)
        return {"format": document.pop("format"), **document}

    @classmethod
    def from_json(cls, document: object) -> Manifest:
        """The manifest in a JSON object. Raises BundleError naming the field that is wrong."""
        _check_format(document)
        manifest = from_document(cls, document)
        manifest.check()
        return manifest

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> Manifest:
        """The manifest in the bytes of a file. Raises BundleError that says it is in `where`."""
        try:
            return cls.from_json(parse_json(content, "it"))
        except BundleError as error:
            raise BundleError(f"in {where}: {error}") from error

    def check(self) -> None:
        """Raise BundleError unless the parts agree with each other and with the task."""
        for name in self.files:
            check_file_name(name)
        if self.task not in TASKS:
            raise BundleError(f"task must be one of {', '.join(TASKS)}, got {self.task!r}")
        if missing := set(TASKS[self.task].graphs) - set(self.graphs):
            raise BundleError(f"graphs.{min(missing)} is missing: {self.task} needs it")
        if unknown := set(self.graphs) - set(TASKS[self.task].graphs + TASKS[self.task].optional):
            raise BundleError(f"graphs.{min(unknown)} is not a graph of the task {self.task}")
        named = {f"graphs.{name}.file": graph.file for name, graph in self.graphs.items()}
        named |= {f"vocabularies.{name}": file for name, file in self.vocabularies.items()}
        named |= initial_files(self.graphs)
        for path, name in named.items():
            if name not in self.files or name in EVIDENCE_FILES:
                raise BundleError(f"{path} names {name!r}, which is not in files of the model")
        check_graphs(self.graphs)
        if {"delay", "chunk"} & self.decoding.keys():
            from treadle.delay import Delay

            Delay.of(self.decoding)
        for graph_name, role in TASKS[self.task].vocabularies.items():
            graph = self.graphs.get(graph_name)
            reads_ids = graph is not None and graph.inputs[0].dtype == "int64"
            if reads_ids and role not in self.vocabularies:
                raise BundleError(f"vocabularies.{role} is missing: graphs.{graph_name} reads ids")

    def sealed(self) -> Manifest:
        """This manifest with its seal, and with its digest where that was still empty.

        Raises BundleError when the parts do not fit or a digest was given that is not theirs.
        """
        self.check()
        digest = digest_of(self.to_json())
        if self.digest not in ("", digest):
            raise BundleError(f"digest is {self.digest}, but the parts of the model give {digest}")
        identified = self._replace(digest=digest)
        return identified._replace(seal=seal_of(identified.to_json()))


def digest_of(document: dict[str, Any]) -> str:
    """The identity of the model of a manifest as JSON: the same export twice gives it twice.

    SHA-256 of the canonical JSON of task, digests of all files but the evidence's, graphs,
    vocabularies, decoding, precision and plan. Snapshots carry it.
    """
    parts = ("task", "graphs", "vocabularies", "decoding", "precision", "plan")
    identity = {part: document[part] for part in parts}
    identity["files"] = {
        name: file["sha256"]
        for name, file in document["files"].items()
        if name not in EVIDENCE_FILES
    }
    return sha256(canonical_bytes(identity))


def seal_of(document: dict[str, Any]) -> str:
    """SHA-256 of the canonical manifest without `seal`: an edited figure does not go unnoticed."""
    sealed = {name: value for name, value in document.items() if name != "seal"}
    return sha256(canonical_bytes(sealed))


def sha256(content: bytes) -> str:
    """The digest of `content` as manifests write it: "sha256:" and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def check_file_name(name: str) -> None:
    """Raise BundleError unless `name` is a plain file name, inside the bundle on every system."""
    plain = name not in ("", ".", "..")
    # Half of a surrogate pair, which JSON can hold, is a name that no file system takes.
    halved = any("\ud800" <= character <= "\udfff" for character in name)
    if not plain or halved or set(name) & set('\\/:*?"<>|\0') or name in OWN_FILES:
        raise BundleError(
            f"files names {name!r}: a file of a bundle has a plain name, without a path; "
            "do not use this bundle"
        )


def _check_format(document: object) -> None:
    if not isinstance(document, dict):
        raise BundleError("a manifest must be an object")
    found = document.get("format")
    if found == FORMAT:
        return
    family, _, version = str(found).partition("/")
    if family == FORMAT.partition("/")[0] and version.isdecimal() and int(version) > 1:
        raise BundleError(
            f"the bundle has the format {found!r}, later than {FORMAT!r}; "
            "update treadle: pip install --upgrade treadle"
        )
    raise BundleError(f"format must be {FORMAT!r}, got {str(found)[:60]!r}")
