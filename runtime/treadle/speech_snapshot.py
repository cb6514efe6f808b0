"""What a transcriber carries, at one moment, for all its rows: a value that can be saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.arrays import frozen
from treadle.decoding import DecoderSnapshot
from treadle.errors import StateError
from treadle.npz import from_npz, to_npz
from treadle.saved import Saved
from treadle.state import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "treadle-speech-snapshot/1"


@dataclass(frozen=True, slots=True, eq=False)
class SpeechSnapshot(Saved):
    """What a `Transcriber` carries, detached from it; made by its `snapshot`.

    encoder: what its stream carries. decoder: hypotheses, counts and end points. waiting: frames
    that do not fill a step yet, float32 [batch, frames - 1, features], of which each row has `held`
    int64 [batch].

    Two are equal when they hold the same bits, and can be members of a set. Whether one fits is
    checked where it is restored.
    """

    encoder: Snapshot
    decoder: DecoderSnapshot
    waiting: NDArray[np.float32]
    held: NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "waiting", frozen(self.waiting))
        object.__setattr__(self, "held", frozen(self.held))

    def to_bytes(self) -> bytes:
        """The snapshot as bytes: an `.npz` file without pickle, same bytes for same values."""
        arrays: dict[str, NDArray[Any]] = {
            "format": np.array(FORMAT),
            "waiting": self.waiting,
            "held": self.held,
        }
        # Not as bytes of their own: an archive within one is what a cut file would open as.
        for part, content in (("encoder", self.encoder), ("decoder", self.decoder)):
            inner = from_npz(content.to_bytes())
            arrays |= {f"{part}/{name}": array for name, array in inner.items()}
        return to_npz(arrays, compress=False)

    @classmethod
    def from_bytes(cls, content: bytes) -> SpeechSnapshot:
        """The snapshot in `content`. Raises StateError when it is none, damaged or a later one."""
        try:
            arrays = from_npz(content)
            found = str(arrays.pop("format"))
            if found != FORMAT:
                raise StateError(
                    f"the snapshot has the format {found[:60]!r}, expected {FORMAT!r}; take it of "
                    "a transcriber, or update treadle: pip install --upgrade treadle"
                )
            waiting, held = arrays.pop("waiting"), arrays.pop("held")
            parts: dict[str, dict[str, NDArray[Any]]] = {"encoder": {}, "decoder": {}}
            for name, array in arrays.items():
                part, _, inside = name.partition("/")
                parts[part][inside] = array
        except (ValueError, KeyError) as error:
            raise StateError(
                f"expected the bytes of a transcriber's snapshot, got {len(content)} bytes that "
                f"are none, or damaged ({error}); take the snapshot again"
            ) from error
        return cls(
            Snapshot.from_bytes(to_npz(parts["encoder"], compress=False)),
            DecoderSnapshot.from_bytes(to_npz(parts["decoder"], compress=False)),
            waiting,
            held,
        )

    def check_waiting(self, shape: tuple[int, ...]) -> None:
        """Raise StateError unless the frames that wait fit a transcriber that holds `shape`."""
        fits = self.waiting.dtype == np.float32 and self.waiting.shape == shape
        fits = fits and self.held.dtype == np.int64 and self.held.shape == shape[:1]
        if not fits or self.held.min() < 0 or self.held.max() > shape[1]:
            raise StateError(
                f"the snapshot should have waiting frames float32 {list(shape)}, got "
                f"{self.waiting.dtype} {list(self.waiting.shape)} and held {self.held.dtype} "
                f"{list(self.held.shape)}; restore it in a transcriber of the same model and size"
            )
        if not np.isfinite(self.waiting).all():
            raise StateError("the snapshot has waiting frames that are not finite; take it again")
