"""What a Keras file says: its configuration and the Keras that wrote it; its weights stay in it."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.errors import ExportError

SUFFIXES = (".keras", ".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class KerasFile:
    """A file's configuration, None where it holds weights alone, and the version it names."""

    configuration: dict[str, Any] | None
    version: str | None

    @property
    def major(self) -> int | None:
        """The major version, None where the file names none."""
        first = (self.version or "").partition(".")[0]
        return int(first) if first.isdecimal() else None


def read_file(path: Path) -> KerasFile:
    """Reads configuration and version of a `.keras` or `.h5` file; makes no object of them.

    Raises:
        ExportError: the file is missing, damaged, or of another kind.
    """
    if path.suffix not in SUFFIXES:
        raise ExportError(
            f"expected a file of Keras ({', '.join(SUFFIXES)}), got {path.name!r}; save the model "
            f"with model.save('NAME.keras')"
        )
    try:
        return _from_archive(path) if path.suffix == ".keras" else _from_hdf5(path)
    except (OSError, KeyError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise ExportError(
            f"expected a Keras model in {path}, got: {error}; save the model again with Keras"
        ) from error


def _from_archive(path: Path) -> KerasFile:
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read("metadata.json"))
        configuration = json.loads(archive.read("config.json"))
    if not isinstance(metadata, dict) or not isinstance(configuration, dict):
        raise ValueError("metadata.json or config.json is no JSON object")
    return KerasFile(configuration, _text(metadata.get("keras_version")))


def _from_hdf5(path: Path) -> KerasFile:
    import h5py

    with h5py.File(path, "r") as file:
        version = _text(file.attrs.get("keras_version"))
        written = _text(file.attrs.get("model_config"))
        legacy = "layer_names" in file.attrs or "model_weights" in file
    configuration = None if written is None else json.loads(written)
    if configuration is not None and not isinstance(configuration, dict):
        raise ValueError("the attribute model_config is no JSON object")
    # Keras 1 named no version, and neither does the layout of Keras 3 for weights alone.
    return KerasFile(configuration, version or ("1" if legacy else None))


def _text(value: Any) -> str | None:
    """An attribute as text: h5py gives str or bytes."""
    if value is None:
        return None
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
