"""Writes a bundle's step as a model in a repository of NVIDIA Triton."""

import tempfile
from pathlib import Path

import onnx

from treadle.bundle import Bundle, open_bundle
from treadle.errors import ExportError, UnsupportedGraph
from treadle.initial import read_initial
from treadle_export.serving.triton import (
    INITIAL_FOLDER,
    Serving,
    check_servable,
    configuration,
    initial_data,
)

MODEL, CONFIGURATION, VERSION = "model.onnx", "config.pbtxt", "1"


def write_repository(
    bundle: Path,
    repository: Path,
    serving: Serving | None = None,
    *,
    name: str | None = None,
    force: bool = False,
) -> Path:
    """Writes `repository/NAME`, whole or not at all, and returns it.

    Triton is started with the repository, which may hold other models. name: that of the bundle by
    default. The bundle's vocabularies lie beside the configuration, for whoever makes the requests.

    Raises:
        BundleError: the bundle is damaged.
        UnsupportedGraph: Triton cannot serve it (`check_servable`), or it is built for mobile.
        ExportError: the model is there already, and `force` is not given.
    """
    opened = open_bundle(bundle)
    try:
        called = name or opened.manifest.name
        place = repository / called
        if place.exists() and not force:
            raise ExportError(
                f"{place} is there already; choose another --name, or replace it with --force"
            )
        files = _files(opened, called, serving or Serving())
    finally:
        opened.close()
    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository, prefix=f".{called}-") as scratch:
        made = Path(scratch) / called
        for file, content in files.items():
            path = made / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _swap(made, place, Path(scratch) / "before")
    return place


def _swap(made: Path, place: Path, aside: Path) -> None:
    """Lets `made` take the place; what was there goes aside, and comes back if that fails."""
    if place.exists():
        place.rename(aside)
    try:
        made.rename(place)
    except BaseException:
        if aside.exists():
            aside.rename(place)
        raise


def _files(bundle: Bundle, name: str, serving: Serving) -> dict[str, bytes]:
    """Path within the model's directory -> content."""
    manifest = bundle.manifest
    step = check_servable(manifest)
    if manifest.target == "mobile":
        raise UnsupportedGraph(
            f"expected a bundle whose graphs are ONNX, got {manifest.name}, built for mobile; "
            "take that of another target"
        )
    device = "cuda" if manifest.target == "cuda" else "cpu"
    model = onnx.load(bundle.file(step.file))  # with its weights: one file is a model's version
    initial = initial_data(step.state, read_initial(bundle))
    return {
        CONFIGURATION: configuration(manifest, name, serving, device).encode(),
        f"{VERSION}/{MODEL}": model.SerializeToString(),
        **{f"{INITIAL_FOLDER}/{file}": content for file, content in initial.items()},
        **{file: bundle.read(file) for file in manifest.vocabularies.values()},
    }
