"""CTC over the frames of a stream's outputs: greedy, or prefix beam search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from treadle.arrays import check_count
from treadle.decoding.best_path import BestPath
from treadle.decoding.decoder import log_softmax
from treadle.decoding.end_point import EndPoint
from treadle.decoding.frame_decoder import FrameDecoder
from treadle.decoding.prefix_beam import PrefixBeam
from treadle.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from treadle.arrays import Array
    from treadle.decoding.record import Record
    from treadle.decoding.transcript import Transcript

Kind = Literal["logits", "log-probabilities"]
# Far over what float32 or float16 loses in a sum of many symbols, far under what logits give.
_NOT_NORMALIZED = 0.05


class CTCDecoder(FrameDecoder):
    """Symbols out of the outputs of a model trained with connectionist temporal classification.

    symbols: size V of the outputs, the blank included; `feed` takes float32 [B, V] or [B, T, V].
    batch_size: rows B, each an utterance of its own. blank: the id of the blank.
    beam: None for the best path (Graves et al. 2006), else how many prefixes prefix beam search
        keeps (Graves & Jaitly 2014; Hannun et al. 2014).
    kind: what the outputs are; logits are normalized here, in float64.
    end_point: when a row is over by itself. A frame of blank is one whose likeliest symbol is
        the blank; a symbol that is held on is none.

    Frames of emission: the first of a symbol's run in the alignment, so they increase. Raises
    InputError for sizes below 1, an id that is out of range or another kind.
    """

    def __init__(
        self,
        symbols: int,
        *,
        batch_size: int = 1,
        blank: int = 0,
        beam: int | None = None,
        kind: Kind = "logits",
        end_point: EndPoint | None = None,
    ) -> None:
        rows = check_count(batch_size, "batch_size", 1)
        check_symbols(symbols, blank)
        if beam is not None:
            check_count(beam, "beam", 1)
        if kind not in get_args(Kind):
            raise InputError(f'kind should be "logits" or "log-probabilities", got {kind!r}')
        self.symbols, self.blank, self.beam, self.kind = symbols, blank, beam, kind
        search = _RowByRow(rows, blank, beam, kind)
        super().__init__(search, rows, symbols, end_point or EndPoint())
        self._described = f"CTC over {kind}"

    def _padded(self, x: ArrayLike, lengths: ArrayLike | None) -> tuple[Array, NDArray[np.int64]]:
        array, counts = super()._padded(x, lengths)
        if self.kind == "log-probabilities":
            inside = np.arange(array.shape[1]) < counts[:, None]
            with np.errstate(over="ignore"):  # logits that are no log-probabilities
                sums = np.exp(array.astype(np.float64)).sum(axis=-1)
            wrong = inside & (np.abs(sums - 1) > _NOT_NORMALIZED)
            if wrong.any():
                row, column = np.argwhere(wrong)[0].tolist()
                raise InputError(
                    f"log-probabilities of a frame should make a sum of 1, got {sums[row, column]} "
                    f'in row {row}, frame {column} of the chunk; say kind="logits" if they are'
                )
        return array, counts


def check_symbols(symbols: object, blank: object, what: str = "blank") -> None:
    """Raise InputError unless `blank` is an id of `symbols` symbols."""
    count = check_count(symbols, "symbols", 1)
    if check_count(blank, what, 0) >= count:
        raise InputError(f"{what} should be an id in 0..{count - 1}, got {blank}")


class _RowByRow:
    """A search of CTC for each row."""

    prediction = None

    def __init__(self, rows: int, blank: int, beam: int | None, kind: Kind) -> None:
        self._blank, self._beam, self._kind = blank, beam, kind
        self._rows = [self._new() for _ in range(rows)]

    def _new(self) -> BestPath | PrefixBeam:
        return BestPath(self._blank) if self._beam is None else PrefixBeam(self._blank, self._beam)

    def read(
        self, x: NDArray[np.float32], reading: NDArray[np.bool_], frames: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        scores = log_softmax(x) if self._kind == "logits" else x.astype(np.float64)
        for row in np.flatnonzero(reading).tolist():
            self._rows[row].read(scores[row], int(frames[row]))
        blank: NDArray[np.bool_] = scores.argmax(axis=-1) == self._blank
        return blank

    def best(self, row: int, n_best: int) -> list[Transcript]:
        return self._rows[row].best(n_best)

    def spoken(self, row: int) -> bool:
        return self._rows[row].spoken()

    def settled(self, row: int) -> int:
        return self._rows[row].settled()

    def records(self, row: int) -> list[Record]:
        return self._rows[row].records()

    def put(self, row: int, records: Sequence[Record]) -> None:
        self._rows[row].put(records)

    def reset(self, rows: NDArray[np.int64]) -> None:
        for row in rows.tolist():
            self._rows[row] = self._new()
