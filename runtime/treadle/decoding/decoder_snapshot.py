"""What a decoder of frames carries, at one moment, for all its rows: a value that can be saved."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.arrays import frozen
from treadle.errors import StateError
from treadle.npz import from_npz, to_npz
from treadle.saved import Saved
from treadle.state import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = "treadle-decoder-snapshot/1"
_TAKE_ANOTHER = "restore it in a decoder that was made with the same arguments"


@dataclass(frozen=True, slots=True, eq=False)
class DecoderSnapshot(Saved):
    """What a `CTCDecoder` or an `RNNTDecoder` carries, detached from it; made by its `snapshot`.

    kind: of the decoder. settings: the sizes and rules that it was made with; 0 for none.
    arrays: frames read, end points and hypotheses of all rows, and what the predictor said last.
    predictor: what the predictor carries, where there is one.

    Two are equal when they hold the same bits, and can be members of a set. Whether one fits a
    decoder is checked where it is restored.
    """

    kind: str
    settings: Mapping[str, int]
    arrays: Mapping[str, NDArray[Any]]
    predictor: Snapshot | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))
        arrays = {name: frozen(array) for name, array in self.arrays.items()}
        object.__setattr__(self, "arrays", MappingProxyType(arrays))

    def to_bytes(self) -> bytes:
        """The snapshot as bytes: an `.npz` file without pickle, same bytes for same values."""
        settings = " ".join(f"{name}={value}" for name, value in sorted(self.settings.items()))
        arrays: dict[str, NDArray[Any]] = {
            "format": np.array(FORMAT),
            "kind": np.array(self.kind),
            "settings": np.array(settings),
        }
        arrays |= {f"arrays/{name}": array for name, array in self.arrays.items()}
        if self.predictor is not None:
            # Not as bytes of its own: an archive within one is what a cut file would open as.
            inner = from_npz(self.predictor.to_bytes())
            arrays |= {f"predictor/{name}": array for name, array in inner.items()}
        return to_npz(arrays, compress=False)

    @classmethod
    def from_bytes(cls, content: bytes) -> DecoderSnapshot:
        """The snapshot in `content`. Raises StateError when it is none, damaged or a later one."""
        try:
            arrays = from_npz(content)
            found = str(arrays.pop("format"))
            if found != FORMAT:
                raise StateError(
                    f"the snapshot has the format {found[:60]!r}, expected {FORMAT!r}; take it of "
                    "a decoder, or update treadle: pip install --upgrade treadle"
                )
            kind = str(arrays.pop("kind"))
            pairs = [pair.split("=") for pair in str(arrays.pop("settings")).split()]
            settings = {name: int(value) for name, value in pairs}
            parts: dict[str, dict[str, NDArray[Any]]] = {"arrays": {}, "predictor": {}}
            for name, array in arrays.items():
                part, _, inside = name.partition("/")
                parts[part][inside] = array
        except (ValueError, KeyError) as error:
            raise StateError(
                f"expected the bytes of a decoder's snapshot, got {len(content)} bytes that are "
                f"none, or damaged ({error}); take the snapshot again"
            ) from error
        predictor = None
        if parts["predictor"]:
            predictor = Snapshot.from_bytes(to_npz(parts["predictor"], compress=False))
        return cls(kind, settings, parts["arrays"], predictor)

    def check(self, kind: str, settings: Mapping[str, int], names: set[str]) -> None:
        """Raise StateError unless it is of such a decoder, and holds arrays of these names."""
        if self.kind != kind:
            raise StateError(
                f"the snapshot is of a decoder of the kind {self.kind[:60]!r}, but this one is "
                f"{kind!r}; {_TAKE_ANOTHER}"
            )
        for name in sorted(settings.keys() | self.settings.keys()):
            theirs, ours = (found.get(name) or "none" for found in (self.settings, settings))
            if theirs != ours:
                raise StateError(
                    f"the snapshot is of a decoder with {name} {theirs}, but this one has {ours}; "
                    f"{_TAKE_ANOTHER}"
                )
        if self.arrays.keys() != names:
            raise StateError(
                f"the snapshot should hold {', '.join(sorted(names))}, got "
                f"{', '.join(sorted(self.arrays))}; take the snapshot again"
            )
