"""What all decoders of frames share: rows fed in chunks, partial and final results, end points.

B rows, T frames of a chunk, F numbers a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from treadle.arrays import Reading, check_count, check_rows
from treadle.decoding.transcript import PartialTranscript, Transcript
from treadle.errors import InputError, StateError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Array
    from treadle.decoding.end_point import EndPoint, EndReason


class FrameSearch(Protocol):
    """A search over the frames of B rows, each row on its own."""

    def read(
        self, x: NDArray[np.float32], reading: NDArray[np.bool_], frames: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Read `x` [B, F] in the rows `reading` [B], as their frame number `frames` [B].

        Which rows read a frame of blank, bool [B]; of the others nothing is said.
        """

    def best(self, row: int, n_best: int) -> list[Transcript]:
        """Up to `n_best` sequences of a row, at least one, best first."""

    def spoken(self, row: int) -> bool:
        """Whether the best hypothesis of a row has a symbol."""

    def settled(self, row: int) -> int:
        """How many symbols all hypotheses of a row begin with in common."""

    def reset(self, rows: NDArray[np.int64]) -> None:
        """Start these rows anew."""


class FrameDecoder:
    """Rows of frames to symbols, each row on its own, fed as the frames come.

    A row is open until an end point ends it or `final` is asked for it; `reset` opens it again.
    However its frames are cut into calls, a row gives the same results, to the bit. One thread at
    a time. Made as `CTCDecoder` or `RNNTDecoder`.
    """

    def __init__(
        self, search: FrameSearch, batch_size: int, features: int, end_point: EndPoint
    ) -> None:
        self.batch_size = batch_size
        self.end_point = end_point
        self._search = search
        self._reading = Reading("frames", np.dtype(np.float32), (features,), None)
        self._frames = np.zeros(batch_size, np.int64)
        self._blanks = np.zeros(batch_size, np.int64)
        self._reasons: list[EndReason | None] = [None] * batch_size
        self._final = np.zeros(batch_size, bool)
        # Rows whose frame was begun and not ended, because what computes it failed.
        self._torn = np.zeros(batch_size, bool)

    @property
    def frames(self) -> NDArray[np.int64]:
        """Frames that each row has read since its start or reset, int64 [B]."""
        return self._frames.copy()

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Which rows an end point has ended, bool [B]; they read nothing until they are reset."""
        return np.array([reason is not None for reason in self._reasons])

    def feed(self, x: ArrayLike, lengths: ArrayLike | None = None) -> NDArray[np.int64]:
        """Read a frame, float32 [B, F], or a chunk of them, [B, T, F]; frames read, int64 [B].

        `lengths`, int64 [B], say how many frames each row has, default all; what lies beyond is
        not looked at. A row reads nothing behind its end point: the answer is then less than its
        length, and the rest can be fed again once the row is reset.

        Raises InputError for another dtype or shape or for numbers that are not finite, and
        StateError for a frame of a row that is final; both leave all rows as they were. An error
        of what computes a frame is passed on, and its rows have to be reset.
        """
        x, lengths = self._padded(x, lengths)
        self._refuse(self._torn & (lengths > 0), "was left within a frame by an error")
        self._refuse(self._final & (lengths > 0), "is final and reads no more frames")
        before = self._frames.copy()
        for column in range(x.shape[1]):
            reading = (column < lengths) & ~self.ended
            if not reading.any():
                break
            self._torn |= reading
            self._count(reading, self._search.read(x[:, column], reading, self._frames.copy()))
            self._torn &= ~reading
        return self._frames - before

    def partial(self) -> list[PartialTranscript]:
        """The best sequence of every row so far. Raises StateError as `final` does."""
        self._refuse(self._torn, "was left within a frame by an error")
        made = []
        for row, reason in enumerate(self._reasons):
            [best] = self._search.best(row, 1)
            over = reason is not None or self._final[row]
            settled = len(best.ids) if over else self._search.settled(row)
            made.append(PartialTranscript(best.ids, best.frames, best.score, settled, reason))
        return made

    def final(self, rows: ArrayLike | None = None, *, n_best: int = 1) -> list[list[Transcript]]:
        """End rows (all, or a list of indices) and give up to `n_best` sequences of each.

        Best first; greedy search has one, beam search up to its beam. Asking again gives the same.
        Raises InputError for rows not there or an `n_best` below 1, and StateError for a row that
        an error has left within a frame.
        """
        chosen, count = self._chosen(rows), check_count(n_best, "n_best", 1)
        torn = np.zeros_like(self._torn)
        torn[chosen] = self._torn[chosen]
        self._refuse(torn, "was left within a frame by an error")
        self._final[chosen] = True
        return [self._search.best(row, count) for row in chosen.tolist()]

    def reset(self, rows: ArrayLike | None = None) -> None:
        """Start rows (all, or a list of indices) anew, at frame 0. Raises InputError."""
        chosen = self._chosen(rows)
        self._torn[chosen] = True
        self._search.reset(chosen)
        self._frames[chosen] = self._blanks[chosen] = 0
        for row in chosen.tolist():
            self._reasons[row] = None
        self._final[chosen] = self._torn[chosen] = False

    def _chosen(self, rows: ArrayLike | None) -> NDArray[np.int64]:
        return np.arange(self.batch_size) if rows is None else check_rows(rows, self.batch_size)

    def _padded(self, x: ArrayLike, lengths: ArrayLike | None) -> tuple[Array, NDArray[np.int64]]:
        """`x` as a checked chunk [B, T, F], zero where padded, and lengths. Raises InputError."""
        try:
            array = np.asarray(x)
        except ValueError as error:
            raise InputError(f"frames should be one array without gaps; {error}") from error
        if array.ndim == 2:
            array = array[:, None]
        if array.ndim != 3 or array.shape[::2] != (self.batch_size, *self._reading.features):
            raise InputError(
                f"frames should be float32 [{self.batch_size}, {self._reading.features[0]}], or "
                f"[{self.batch_size}, time, {self._reading.features[0]}] for a chunk, got "
                f"{array.dtype} {list(np.shape(x))}; make a decoder for the sizes you have"
            )
        return self._reading.padded(array, lengths, "time", least=0, batch_size=self.batch_size)

    def _count(self, reading: NDArray[np.bool_], blank: NDArray[np.bool_]) -> None:
        """Note that a frame was read, and which rows it ended."""
        self._frames += reading
        self._blanks[reading] = np.where(blank, self._blanks + 1, 0)[reading]
        for row in np.flatnonzero(reading).tolist():
            self._reasons[row] = self.end_point.reached(
                frames=int(self._frames[row]),
                blanks=int(self._blanks[row]),
                spoken=self._search.spoken(row),
            )

    def _refuse(self, rows: NDArray[np.bool_], why: str) -> None:
        """Raise StateError if any of the rows, bool [B], is set."""
        if rows.any():
            row = int(rows.argmax())
            raise StateError(f"row {row} {why}; call reset(rows=[{row}]) to start it anew")
