"""Transcriber: utterances read while their frames come, with partial and final transcripts.

B rows, T frames of a chunk, F numbers of a frame, K frames of a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.arrays import check_rows
from treadle.closing import Closing
from treadle.errors import StateError
from treadle.speech_snapshot import SpeechSnapshot
from treadle.stacking import stacked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Reading
    from treadle.decoding import PartialTranscript, Transcript
    from treadle.decoding.end_point import EndReason
    from treadle.decoding.frame_decoder import FrameDecoder
    from treadle.stream import Stream
    from treadle.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was said in one utterance, or so far.

    text: the symbols as text. frames: for each symbol the first frame of the step that emitted it.
    score: log-probability in nats, as `treadle.decoding.Transcript` has it. settled: the first so
    many symbols can change no more. ended: the rule of the end point that ended it, else None.
    """

    text: str
    symbols: tuple[str, ...]
    frames: tuple[int, ...]
    score: float
    settled: int
    ended: EndReason | None = None

    def to_json(self) -> dict[str, Any]:
        """Text, symbols, their frames and the score, as one JSON object."""
        return {
            "text": self.text,
            "symbols": list(self.symbols),
            "frames": list(self.frames),
            "score": self.score,
        }


class Transcriber(Closing):
    """`batch_size` utterances, each a row of its own. Made by `SpeechTransducer.transcriber`.

    However its frames are cut into calls, a row gives the same transcript where the bundle's
    precision promises that chunks are steps (`int8`); a row does not feel its neighbours. One
    thread at a time. Frames that do not fill a step wait for those that follow.
    """

    def __init__(
        self,
        stream: Stream,
        decoder: FrameDecoder,
        predictor: Stream | None,
        *,
        symbols: Vocabulary,
        frame: Reading,
        count: int,
    ) -> None:
        self.batch_size = stream.batch_size
        self._stream, self._decoder, self._predictor = stream, decoder, predictor
        self._symbols, self._frame, self._count = symbols, frame, count
        # The frames that wait, [B, K - 1, F], and how many they are.
        self._waiting = np.zeros((self.batch_size, count - 1, *frame.features), np.float32)
        self._held = np.zeros(self.batch_size, np.int64)
        self._final = np.zeros(self.batch_size, bool)

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Which rows an end point has ended, bool [B]; they read nothing until they are reset."""
        return self._decoder.ended

    def feed(self, x: ArrayLike, lengths: ArrayLike | None = None) -> NDArray[np.int64]:
        """Read a frame of every row, float32 [B, F], or a chunk, [B, T, F].

        `lengths` int64 [B], from 0, default to all of it. Returns how many frames each row has read
        or keeps waiting, int64 [B]: less than its length where an end point ended it, and the rest
        can be fed again after a reset. Raises InputError for another dtype or shape and numbers
        that are not finite, StateError for frames of a row that is final; all rows are then as they
        were. An error of the engine is passed on, and the rows that were reading have to be reset.
        """
        array = np.asarray(x)
        array = array[:, None] if array.ndim == 2 else array
        array, given = self._frame.padded(
            array, lengths, "time", least=0, batch_size=self.batch_size
        )
        self._refuse(self._final & (given > 0))
        given = np.where(self.ended, 0, given)
        rows = [
            np.concatenate([self._waiting[row, : self._held[row]], array[row, : given[row]]])
            for row in range(self.batch_size)
        ]
        whole = np.array([len(row) // self._count for row in rows], np.int64)
        before, steps = self._held.copy(), self._read(rows, whole)
        for row, frames in enumerate(rows):
            rest = frames[whole[row] * self._count :]
            over = self.ended[row]
            self._held[row] = 0 if over else len(rest)
            self._waiting[row, : self._held[row]] = rest[: self._held[row]]
        cut = self.ended & (given > 0)
        read: NDArray[np.int64] = np.where(cut, steps * self._count - before, given)
        return read

    def partial(self) -> list[Transcription]:
        """The best transcript of every row so far. Raises StateError."""
        return [self._told(best, best.settled, best.ended) for best in self._decoder.partial()]

    def final(self, rows: ArrayLike | None = None, *, n_best: int = 1) -> list[list[Transcription]]:
        """End rows (all, or a list of indices) and give up to `n_best` transcripts of each.

        Frames that wait are read first, the last one repeated until they fill a step. Raises
        InputError for rows not there or `n_best` below 1, StateError as the decoder does.
        """
        chosen = self._chosen(rows)
        self._read_waiting(chosen)
        found = self._decoder.final(chosen, n_best=n_best)
        self._final[chosen] = True
        reasons = [best.ended for best in self._decoder.partial()]
        return [
            [self._told(one, len(one.ids), reasons[row]) for one in listed]
            for row, listed in zip(chosen.tolist(), found, strict=True)
        ]

    def reset(self, rows: ArrayLike | None = None) -> None:
        """Start rows (all, or a list of indices) anew, at frame 0. Raises InputError."""
        chosen = self._chosen(rows)
        self._stream.reset(chosen)
        self._decoder.reset(chosen)
        self._held[chosen], self._final[chosen] = 0, False

    def snapshot(self) -> SpeechSnapshot:
        """All that is needed to go on from here, in this process or another.

        Raises StateError for a row that an error has left within a frame.
        """
        waiting = self._waiting.copy()
        waiting[np.arange(self._count - 1) >= self._held[:, None]] = 0
        return SpeechSnapshot(
            self._stream.snapshot(), self._decoder.snapshot(), waiting, self._held
        )

    def restore(self, snapshot: SpeechSnapshot) -> None:
        """Go on from `snapshot`, as if there had been no interruption.

        Raises StateError for one of another model, of other sizes or rules, or with values that no
        transcriber has; all rows are then as they were.
        """
        snapshot.check_waiting(self._waiting.shape)
        before = self._stream.snapshot()
        self._stream.restore(snapshot.encoder)
        try:
            self._decoder.restore(snapshot.decoder)
        except BaseException:
            self._stream.restore(before)
            raise
        self._waiting, self._held = snapshot.waiting.copy(), snapshot.held.copy()
        self._final = snapshot.decoder.arrays["rows"][:, 3] == 1

    def close(self) -> None:
        """Close its streams. Closing twice is allowed."""
        self._stream.close()
        if self._predictor is not None:
            self._predictor.close()

    def _read(self, rows: list[NDArray[np.float32]], whole: NDArray[np.int64]) -> NDArray[np.int64]:
        """Read the first `whole` [B] steps of each row's frames; how many the decoder read."""
        if not whole.any():
            return whole
        x = np.zeros((self.batch_size, int(whole.max()), *self._step_shape), np.float32)
        for row, (frames, count) in enumerate(zip(rows, whole, strict=True)):
            if count:
                x[row, :count] = stacked(frames[: count * self._count], self._count)
        if x.shape[1] == 1:
            outputs = self._stream.step(x[:, 0], active=whole > 0)[:, None]
        else:
            outputs = self._stream.unroll(x, whole)
        return self._decoder.feed(outputs, whole)

    @property
    def _step_shape(self) -> tuple[int]:
        return (self._count * self._frame.features[0],)

    def _read_waiting(self, chosen: NDArray[np.int64]) -> None:
        """Read what waits in rows as a last step."""
        held = np.zeros(self.batch_size, np.int64)
        held[chosen] = self._held[chosen]
        rows = [
            stacked(waiting[:count], self._count).reshape(-1, *self._frame.features)
            if count
            else waiting[:0]
            for waiting, count in zip(self._waiting, held, strict=True)
        ]
        self._read(rows, (held > 0).astype(np.int64))
        self._held[chosen] = 0

    def _told(
        self, best: Transcript | PartialTranscript, settled: int, ended: EndReason | None
    ) -> Transcription:
        frames = tuple(step * self._count for step in best.frames)
        symbols = tuple(self._symbols.decode(best.ids))
        text = self._symbols.space.join(symbols)
        return Transcription(text, symbols, frames, best.score, settled, ended)

    def _chosen(self, rows: ArrayLike | None) -> NDArray[np.int64]:
        return np.arange(self.batch_size) if rows is None else check_rows(rows, self.batch_size)

    def _refuse(self, rows: NDArray[np.bool_]) -> None:
        if rows.any():
            row = int(rows.argmax())
            raise StateError(
                f"row {row} is final and reads no more frames; call reset(rows=[{row}]) to start "
                "it anew"
            )
