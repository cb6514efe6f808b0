"""The golden trace: what a model did at export, recorded so that a device can prove itself.

One row of real input, carried from the initial state. At a few checkpoints it keeps the state
before the step (torch's), and the outputs and the state after it, as the bundle's own graph gave
them where the engine wrote them ("bundle") and as torch gave the outputs ("torch").
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import BundleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOLDEN_FILE = "golden.npz"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip's earliest time: the same trace is the same file


@dataclass(frozen=True, slots=True)
class Golden:
    """A recorded trace; N steps, K checkpoints, C sampled output columns.

    source: int64 [S], what an encoder read; empty for a model without one.
    inputs: [N, …], what the decoder read; choices: {"torch", "bundle"} -> arg-max [N], free-running.
    checkpoints: int64 [K]; columns: int64 [C].
    outputs: {"torch", "bundle"} -> float32 [K, C]; state, next_state: name -> float32 [K, …].
    """

    source: NDArray[np.int64]
    inputs: NDArray[Any]
    choices: dict[str, NDArray[np.int64]]
    checkpoints: NDArray[np.int64]
    columns: NDArray[np.int64]
    outputs: dict[str, NDArray[np.float32]]
    state: dict[str, NDArray[np.float32]]
    next_state: dict[str, NDArray[np.float32]]

    def to_bytes(self) -> bytes:
        """A compressed `.npz`, byte for byte the same for the same trace."""
        arrays: dict[str, NDArray[Any]] = {
            "source": _narrow(self.source),
            "inputs": _narrow(self.inputs),
            "checkpoints": _narrow(self.checkpoints),
            "columns": _narrow(self.columns),
        }
        for prefix in ("choices", "outputs", "state", "next_state"):
            for name, array in getattr(self, prefix).items():
                arrays[f"{prefix}.{name}"] = _narrow(array)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in sorted(arrays.items()):
                content = io.BytesIO()
                np.save(content, array, allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), content.getvalue(), 8)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Golden:
        """Reads a trace. Raises BundleError when the file is not one."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: _wide(archive[name]) for name in archive.files}
            plain = {name: arrays.pop(name) for name in _PLAIN}
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise BundleError(
                f"expected a golden trace in {GOLDEN_FILE}, got a file that cannot be read "
                f"({error}); fetch or export the bundle again"
            ) from error
        groups: dict[str, dict[str, Any]] = {
            prefix: {
                name.removeprefix(f"{prefix}."): array
                for name, array in arrays.items()
                if name.startswith(f"{prefix}.")
            }
            for prefix in ("choices", "outputs", "state", "next_state")
        }
        return cls(**plain, **groups)


_PLAIN = ("source", "inputs", "checkpoints", "columns")


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Ids as int32: they are small, and the trace should be."""
    return array.astype(np.int32) if array.dtype == np.int64 else array


def _wide(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.int64) if array.dtype == np.int32 else array
