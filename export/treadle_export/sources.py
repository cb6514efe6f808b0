"""What `treadle adopt` may be given, and who reads it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.errors import InputError
from treadle_export.foreign import Foreign, StatePair


def open_source(
    source: str,
    *,
    checkpoint: Path | None = None,
    fixed: Mapping[str, str] | None = None,
    states: Sequence[StatePair] = (),
    example: NDArray[Any] | None = None,
) -> Foreign:
    """Opens a source by its looks: FILE.onnx, FILE.keras, FILE.h5 or package.module:factory.

    Raises:
        InputError: it looks like none of these, or an option does not belong to it.
    """
    path = Path(source)
    if path.suffix == ".onnx":
        from treadle_export.onnx_models import foreign_of_file

        _refuse(source, checkpoint=checkpoint)
        return foreign_of_file(path, fixed=fixed, states=states, example=example)
    if path.suffix in (".keras", ".h5", ".hdf5"):
        from treadle_export.keras_models import from_keras

        _refuse(source, checkpoint=checkpoint, fixed=fixed, states=states)
        return from_keras(path)
    if ":" in source:
        from treadle_export.factory import load_factory
        from treadle_export.torch_modules import foreign_of

        _refuse(source, fixed=fixed, states=states)
        module, inputs = load_factory(source, checkpoint)
        return foreign_of(module, inputs, name=source.rpartition(":")[2])
    raise InputError(
        f"expected FILE.onnx, FILE.keras, FILE.h5 or package.module:factory, got {source!r}"
    )


def _refuse(source: str, **options: object) -> None:
    """An option that would be ignored is an error."""
    for name, value in options.items():
        if value:
            option = {"fixed": "--fix", "states": "--state"}.get(name, f"--{name}")
            raise InputError(f"{option} has no meaning for {source}")


def read_inputs(path: Path) -> NDArray[Any]:
    """An array from a .npy file. Raises InputError for anything else."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"expected an array in {path}, as numpy.save writes it, got: {error}"
        ) from error
    if not isinstance(array, np.ndarray) or not array.size:
        raise InputError(f"expected one array with values in {path}, got {type(array).__name__}")
    return array
