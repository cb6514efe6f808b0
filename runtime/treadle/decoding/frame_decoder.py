"""What all decoders of frames share: rows fed in chunks, partial and final results, end points.

B rows, T frames of a chunk, F numbers a frame.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Protocol

import numpy as np

from treadle.arrays import Reading, check_count, check_rows
from treadle.decoding.decoder_snapshot import DecoderSnapshot
from treadle.decoding.end_point import REASONS, EndPoint
from treadle.decoding.record import NAMES, check_records, pack, unpack
from treadle.decoding.transcript import PartialTranscript, Transcript
from treadle.errors import InputError, StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Array
    from treadle.decoding.end_point import EndReason
    from treadle.decoding.predictor import Prediction
    from treadle.decoding.record import Record


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

    @property
    def prediction(self) -> Prediction | None:
        """The predictor that it steps, if any: its rows follow the hypotheses."""

    def records(self, row: int) -> list[Record]:
        """All that the search knows of a row, one hypothesis after the other; one at least."""

    def put(self, row: int, records: Sequence[Record]) -> None:
        """Let a row go on from what `records` gave."""


class FrameDecoder:
    """Rows of frames to symbols, each row on its own, fed as the frames come.

    A row is open until an end point ends it or `final` is asked for it; `reset` opens it again.
    However its frames are cut into calls, a row gives the same results, to the bit. One thread at
    a time. Made as `CTCDecoder` or `RNNTDecoder`.
    """

    symbols: int
    blank: int
    beam: int | None

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
        # What the decoder is, and with which sizes besides those of all: for snapshots.
        self._described, self._sizes = "", dict[str, int]()

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

    def snapshot(self) -> DecoderSnapshot:
        """All that is needed to go on from here, in this process or another.

        Raises StateError for a row that an error has left within a frame, and for a predictor that
        cannot be saved.
        """
        self._refuse(self._torn, "was left within a frame by an error")
        reasons = np.array([REASONS.index(reason) for reason in self._reasons], np.int64)
        rows = np.stack([self._frames, self._blanks, reasons, self._final], axis=1)
        arrays = {"rows": rows}
        arrays |= pack([self._search.records(row) for row in range(self.batch_size)])
        predictor = None
        if self._search.prediction is not None:
            arrays["outputs"], predictor = self._search.prediction.saved()
        return DecoderSnapshot(self._described, self._settings(), arrays, predictor)

    def restore(self, snapshot: DecoderSnapshot) -> None:
        """Go on from `snapshot`, as if there had been no interruption.

        Raises StateError for one of another kind of decoder, of other sizes, rules or end points,
        of another predictor's model, or with values that no decoder has; all rows are then as they
        were.
        """
        prediction = self._search.prediction
        names = {"rows", *NAMES} | ({"outputs"} if prediction else set())
        snapshot.check(self._described, self._settings(), names)
        try:
            found = self._opened(snapshot)
        except ValueError as error:
            raise StateError(
                f"the snapshot is of no decoder: {error}; take the snapshot again"
            ) from error
        if prediction:
            prediction.restore(snapshot.arrays["outputs"], snapshot.predictor)
        for row, records in enumerate(found):
            self._search.put(row, records)
        self._frames, self._blanks, reasons, final = snapshot.arrays["rows"].T.copy()
        self._reasons = [REASONS[reason] for reason in reasons]
        self._final, self._torn = final == 1, np.zeros(self.batch_size, bool)

    def _settings(self) -> dict[str, int]:
        """All that a decoder has to share with one that goes on from its snapshot."""
        rules = {rule.name: getattr(self.end_point, rule.name) or 0 for rule in fields(EndPoint)}
        sizes = {"symbols": self.symbols, "blank": self.blank, "beam": self.beam or 0}
        rows = {"batch_size": self.batch_size, "features": self._reading.features[0]}
        return rules | sizes | rows | self._sizes

    def _opened(self, snapshot: DecoderSnapshot) -> list[list[Record]]:
        """The hypotheses of each row. Raises ValueError for what no decoder of these sizes has."""
        rows = snapshot.arrays["rows"]
        if rows.dtype != np.int64 or rows.shape != (self.batch_size, 4):
            raise ValueError(f"rows should be int64 [{self.batch_size}, 4]")
        frames, blanks, reasons, final = rows.T
        within = (blanks <= frames) & (reasons < len(REASONS)) & (final <= 1)
        if rows.min() < 0 or not within.all():
            raise ValueError("rows should hold counts of frames, a reason and a flag")
        found = unpack(snapshot.arrays, self._search.records(0)[0])
        if len(found) != self.batch_size:
            raise ValueError(f"it should have hypotheses of {self.batch_size} rows")
        for records, count in zip(found, frames.tolist(), strict=True):
            check_records(
                records,
                symbols=self.symbols,
                blank=self.blank,
                most=self.beam or 1,
                frames=count,
            )
        return found

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
