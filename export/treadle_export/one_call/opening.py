"""The graphs of a bundle with their weights inside, ready to be put into another graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir

from treadle.bundle import open_bundle
from treadle.errors import ExportError, UnsupportedGraph
from treadle.manifest import Manifest
from treadle.searchable import LONGEST_ANSWER
from treadle.vocabulary import Vocabulary

ROLES = {
    "transduction": ("input", "output"),
    "generation": ("labels", "output"),
    "language-modelling": ("symbols", "symbols"),
}
"""Task -> the vocabularies of what it reads and of what it writes."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a decode is put together from.

    models: graphs by name, each with its weights. start and end: ids of the written vocabulary;
    end is None where a text has none.
    """

    manifest: Manifest
    models: Mapping[str, ir.Model]
    read: Vocabulary | None
    written: Vocabulary
    start: int
    end: int | None

    @property
    def max_length(self) -> int | None:
        """Steps at most unless a caller says otherwise; None where the bundle does not say."""
        value = self.manifest.decoding.get("max_length")
        return value if type(value) is int and 1 <= value <= LONGEST_ANSWER else None


def opened(path: Path) -> Opened:
    """Reads the bundle at `path`.

    Raises:
        BundleError: it is none, or damaged.
        UnsupportedGraph: its task writes no symbols one after another, or its graphs are not ONNX.
    """
    bundle = open_bundle(path)
    try:
        manifest = bundle.manifest
        _check(manifest)
        names = ("step", "encode" if "encode" in manifest.graphs else "sequence")
        models = {
            name: ir.from_proto(onnx.load(bundle.file(manifest.graphs[name].file)))
            for name in names
        }
        vocabularies = {
            role: Vocabulary.read(bundle.file(file)) for role, file in manifest.vocabularies.items()
        }
    finally:
        bundle.close()
    read, written = ROLES[manifest.task]
    if written not in vocabularies:
        raise UnsupportedGraph(
            f"expected a vocabulary {written!r} to write with, got none in {manifest.name}: it "
            "reads numbers, and is run step by step"
        )
    symbols = vocabularies[written]
    start, end = (manifest.decoding.get(key) for key in ("start", "end"))
    if type(start) is not int or not 0 <= start < len(symbols):
        raise ExportError(
            f"expected decoding.start of {manifest.name} to be a symbol, got {start!r}; "
            "export the bundle again"
        )
    end = symbols.end if end is None else end
    return Opened(manifest, models, vocabularies.get(read), symbols, start, end)


def _check(manifest: Manifest) -> None:
    if manifest.task not in ROLES:
        raise UnsupportedGraph(
            f"expected a model that writes symbols one after another ({', '.join(ROLES)}), got "
            f"{manifest.name} for {manifest.task}: run its own graphs, or treadle.load"
        )
    if manifest.target == "mobile":
        raise UnsupportedGraph(
            f"expected a bundle whose graphs are ONNX, got {manifest.name}, built for mobile; "
            "take that of another target"
        )
    file = next((p for p in manifest.graphs["step"].state if "file" in p.initial), None)
    if file is not None:
        raise UnsupportedGraph(
            f"expected states that start at zero or from the encoder, got {file.name}, which "
            "starts from a file"
        )
