"""What `treadle adopt` may be given, and who reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from treadle.errors import InputError
from treadle_export.foreign import Foreign, StatePair


def open_source(
    source: str,
    *,
    checkpoint: Path | None = None,
    fixed: Mapping[str, str] | None = None,
    states: Sequence[StatePair] = (),
    lengths: str | None = None,
) -> Foreign:
    """Opens a source by its looks: FILE.onnx, FILE.keras, FILE.h5 or package.module:factory.

    Raises:
        InputError: it looks like none of these, or an option does not belong to it.
    """
    path = Path(source)
    if path.suffix == ".onnx":
        from treadle_export.sources.onnx_models import foreign_of_file

        _refuse(source, checkpoint=checkpoint)
        return foreign_of_file(path, fixed=fixed, states=states, lengths=lengths)
    if path.suffix in (".keras", ".h5", ".hdf5"):
        from treadle_export.keras_models import from_keras

        _refuse(source, checkpoint=checkpoint, fixed=fixed, states=states, lengths=lengths)
        return from_keras(path)
    if ":" in source:
        from treadle_export.sources.factory import load_factory
        from treadle_export.torch_modules import foreign_of

        _refuse(source, fixed=fixed, states=states)
        module, inputs = load_factory(source, checkpoint)
        return foreign_of(module, inputs, name=source.rpartition(":")[2], lengths=lengths)
    raise InputError(
        f"expected FILE.onnx, FILE.keras, FILE.h5 or package.module:factory, got {source!r}"
    )


def _refuse(source: str, **options: object) -> None:
    """An option that would be ignored is an error."""
    for name, value in options.items():
        if value:
            option = {"fixed": "--fix", "states": "--state"}.get(name, f"--{name}")
            raise InputError(f"{option} has no meaning for {source}")


def with_inputs(foreign: Foreign, path: Path) -> Foreign:
    """The model with the array in a .npy file as its real inputs: it is proven on these.

    Raises:
        InputError: the file holds no array, or one that is not like the example, but for the sizes
            of batch and time.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"expected an array in {path}, as numpy.save writes it, got: {error}"
        ) from error
    (name,) = (name for name in foreign.example if name != foreign.lengths)
    known = foreign.example[name]
    fits = isinstance(array, np.ndarray) and array.dtype == known.dtype and array.size
    if not fits or array.ndim != known.ndim:
        got = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "several"
        raise InputError(
            f"expected one batch of {name!r} in {path}, {known.dtype} like {list(known.shape)} "
            f"but for batch and time, got {got}"
        )
    return replace(foreign, inputs=array)
