"""States that start from values of their own: arrays in a file of the bundle, one row each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from treadle.errors import BundleError

if TYPE_CHECKING:
    from treadle.arrays import Array
    from treadle.bundle import Bundle
    from treadle.manifest import StatePort

INITIAL_FILE = "initial.npz"
"""Where the exporter writes them; a manifest may name any file."""


def read_initial(bundle: Bundle) -> dict[str, Array]:
    """State -> its first row, of the port's dtype and shape without "batch".

    Empty where all states start from zeros or from `encode`. Raises BundleError, naming file and
    state, for an array that is missing, of another dtype or shape, not finite, or over the bound.
    """
    files: dict[str, dict[str, Array]] = {}
    rows: dict[str, Array] = {}
    for port in bundle.manifest.graphs["sequence"].state:
        if isinstance(port.initial, dict) and "file" in port.initial:
            file = port.initial["file"]
            if file not in files:
                files[file] = _arrays(bundle, file)
            rows[port.name] = _checked(files[file].get(port.initial["name"]), port, file)
    return rows


def _arrays(bundle: Bundle, file: str) -> dict[str, Array]:
    from treadle.npz import from_npz

    try:
        return from_npz(bundle.read(file))
    except ValueError as error:
        raise BundleError(
            f"expected initial states in {bundle.file(file)}, got a file that is no .npz or is "
            f"damaged ({error}); export the bundle again"
        ) from error


def _checked(array: Array | None, port: StatePort, file: str) -> Array:
    expected = f"{port.dtype} {list(port.shape[1:])}"
    if array is None or array.dtype != port.dtype or array.shape != port.shape[1:]:
        found = "none" if array is None else f"{array.dtype} {list(array.shape)}"
        raise BundleError(
            f"expected the state {port.name!r} to start from an array {expected} in {file}, got "
            f"{found}; export the bundle again"
        )
    largest = float(np.abs(array).max(initial=0.0))
    if not largest <= (np.finfo(np.float32).max if port.bound is None else port.bound):
        raise BundleError(
            f"expected the state {port.name!r} to start from finite values within its bound "
            f"{port.bound}, got {largest} in {file}; export the bundle again"
        )
    return array
