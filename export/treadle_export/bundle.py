"""Writes a bundle: all of it, or nothing."""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from treadle.document import canonical_bytes
from treadle.errors import ExportError
from treadle.initial import INITIAL_FILE
from treadle.manifest import MANIFEST_FILE, File, Graph, Manifest, sha256
from treadle.npz import to_npz
from treadle.vocabulary import Vocabulary
from treadle_export.canonical import CanonicalModel
from treadle_export.weights import WEIGHTS_FILE, share_weights

SUFFIX = ".treadle"
OLDEST_ENGINE = "1.23"
"""The oldest onnxruntime that runs every graph: 1.22 neither multiplies blocks of 8 bits on every
processor nor casts from INT4."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a bundle says of its model beside the graphs."""

    name: str
    vocabularies: Mapping[str, Vocabulary]
    decoding: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    licence: Mapping[str, str]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """The files of a bundle by name, and its manifest but for digest and seal."""

    files: dict[str, bytes]
    manifest: Manifest
    evidence_files: dict[str, bytes] = field(default_factory=dict)


def assemble(
    model: CanonicalModel,
    description: Description,
    precision: str,
    plan: Mapping[str, Any],
    target: str = "cpu",
) -> Parts:
    """Serializes the graphs of a lowered model, weights, first states and vocabularies."""
    graphs = {name: graph.model.clone() for name, graph in model.graphs.items()}
    files = {WEIGHTS_FILE: share_weights(graphs)}
    for name, graph in model.graphs.items():
        files[graph.interface.file] = _serialized(graphs[name], name, graph.interface)
    if model.initial:
        files[INITIAL_FILE] = to_npz(model.initial)
    names = {role: _vocabulary_file(role) for role in description.vocabularies}
    for role, vocabulary in description.vocabularies.items():
        files[names[role]] = canonical_bytes(vocabulary.to_json())
    manifest = Manifest(
        name=description.name,
        task=model.task,
        digest="",
        files={name: File(sha256(content), len(content)) for name, content in files.items()},
        graphs={name: graph.interface for name, graph in model.graphs.items()},
        vocabularies=names,
        decoding=dict(description.decoding),
        precision=precision,
        plan=dict(plan),
        target=target,
        requires={"onnxruntime": OLDEST_ENGINE, "operators": _operators(graphs)},
        evidence={},
        evaluation=dict(description.evaluation),
        licence=dict(description.licence),
        provenance=dict(description.provenance),
        seal="",
    )
    return Parts(files, manifest)


def _vocabulary_file(role: str) -> str:
    return f"{role}.json"


def _serialized(model: ir.Model, name: str, interface: Graph) -> bytes:
    """The ONNX file; its metadata repeat the contract, so that a lone file explains itself."""
    ports = {"inputs": interface.inputs, "outputs": interface.outputs}
    described = {key: [port.name for port in value] for key, value in ports.items()}
    described["context"] = [port.name for port in interface.context]
    states = {port.name: [port.input, port.output] for port in interface.state}
    model.metadata_props["treadle.graph"] = name
    model.metadata_props["treadle.ports"] = json.dumps({**described, "state": states})
    content: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return content


def _operators(graphs: Mapping[str, ir.Model]) -> list[str]:
    """Every operator that the graphs use, as domain:name:version of its definition."""
    used: set[str] = set()
    for model in graphs.values():
        opset = model.graph.opset_imports[""]
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            domain = node.domain or "ai.onnx"
            standard = domain == "ai.onnx"
            version = onnx.defs.get_schema(node.op_type, opset).since_version if standard else 1
            used.add(f"{domain}:{node.op_type}:{version}")
    return sorted(used)


def refuse_taken(out: Path, *, force: bool) -> None:
    """Raises ExportError when `out` cannot become the bundle."""
    if out.suffix != SUFFIX:
        raise ExportError(f"expected a bundle's name to end in {SUFFIX}, got {str(out)!r}")
    if out.exists() and not force:
        raise ExportError(f"{out} exists already; choose another --out, or replace it with --force")


def write_bundle(path: Path, files: Mapping[str, bytes], *, force: bool = False) -> None:
    """Writes `files` as the directory `path`, which then is there whole or not at all.

    An existing bundle is moved aside first, put back if anything fails, and removed at the end.

    Raises:
        ExportError: `path` does not end in `.treadle`, exists without `force`, or cannot be
            written (disk full, no permission); nothing is left behind.
    """
    refuse_taken(path, force=force)
    mark = secrets.token_hex(4)
    partial, aside = (path.with_name(f".{path.name}.{mark}.{end}") for end in ("part", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _removed_on_failure(partial):
            _write_directory(partial, files)
            _swap(partial, path, aside)
    except OSError as error:
        raise ExportError(_explained(path, error)) from error


def _swap(partial: Path, path: Path, aside: Path) -> None:
    if not path.exists():
        partial.rename(path)
        return
    path.rename(aside)
    try:
        partial.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    shutil.rmtree(aside)


def _write_directory(directory: Path, files: Mapping[str, bytes]) -> None:
    directory.mkdir()
    for name, content in files.items():
        with (directory / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _removed_on_failure(directory: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _explained(path: Path, error: OSError) -> str:
    reasons = {
        errno.ENOSPC: "the disk is full: free some space",
        errno.EROFS: "the file system is read-only: choose another --out",
        errno.EACCES: "permission denied: choose another --out",
    }
    reason = reasons.get(error.errno or 0, str(error))
    return f"cannot write the bundle {path}: {reason}; nothing was left behind"


def finished(parts: Parts, evidence: Mapping[str, Any]) -> dict[str, bytes]:
    """All files of the bundle, the sealed manifest included."""
    listed = {
        name: File(sha256(content), len(content)) for name, content in parts.evidence_files.items()
    }
    manifest = parts.manifest._replace(
        files={**parts.manifest.files, **listed}, evidence=dict(evidence)
    ).sealed()
    document = json.dumps(manifest.to_json(), indent=1, sort_keys=False) + "\n"
    return {**parts.files, **parts.evidence_files, MANIFEST_FILE: document.encode()}
