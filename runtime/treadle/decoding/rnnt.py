"""RNN-T over the frames of an encoder: greedy, or frame-synchronous beam search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.arrays import check_count
from treadle.decoding.ctc import check_symbols
from treadle.decoding.end_point import EndPoint
from treadle.decoding.frame_decoder import FrameDecoder
from treadle.decoding.predictor import Joiner, Prediction, Predictor
from treadle.decoding.rnnt_beam import TransducerBeam
from treadle.decoding.rnnt_greedy import TransducerGreedy
from treadle.errors import InputError

if TYPE_CHECKING:
    from treadle.decoding.frame_decoder import FrameSearch

_MAX_SYMBOLS = 10


class RNNTDecoder(FrameDecoder):
    """Symbols out of an encoder's frames, by a recurrent neural network transducer (Graves 2012).

    predictor: a fresh `Stream` over ids, or what has its interface, with one output
        [rows, P]; the decoder's own from now on. It has a row for each row B of the decoder, or
        `beam` rows for each, one decoder row after the other.
    joiner: from encoder frames float32 [rows, E] and outputs of the predictor float32 [rows, P]
        to logits float32 [rows, V]. Called with all rows of the predictor always; what it makes
        of a row that does not read is not looked at.
    symbols, features: V, the blank included, and E; `feed` takes float32 [B, E] or [B, T, E].
    blank: the id of the blank. start: what the predictor reads first, by default the blank.
    beam: None for greedy search (`TransducerGreedy`), else how many hypotheses beam search with
        at most one symbol a frame keeps (`TransducerBeam`).
    max_symbols: how many symbols greedy search may emit in a frame, by default 10.
    end_point: when a row is over by itself. A frame of blank is one that emitted no symbol of
        the best hypothesis.

    Frames of emission never decrease, and increase in beam search. Raises InputError for
    impossible sizes, an id out of range, or outputs that do not fit; StateError for outputs that
    are not finite.
    """

    def __init__(
        self,
        predictor: Predictor,
        joiner: Joiner,
        *,
        symbols: int,
        features: int,
        blank: int = 0,
        start: int | None = None,
        beam: int | None = None,
        max_symbols: int | None = None,
        end_point: EndPoint | None = None,
    ) -> None:
        check_symbols(symbols, blank)
        first = blank if start is None else check_count(start, "start", 0)
        check_count(features, "features", 1)
        if beam is not None and max_symbols is not None and max_symbols != 1:
            raise InputError(
                f"beam search emits at most one symbol a frame, got max_symbols {max_symbols!r}; "
                "leave it out, or search greedily with beam=None"
            )
        width = 1 if beam is None else check_count(beam, "beam", 1)
        limit = check_count(_MAX_SYMBOLS if max_symbols is None else max_symbols, "max_symbols", 1)
        rows, rest = divmod(predictor.batch_size, width)
        if rest or not rows:
            raise InputError(
                f"the predictor should have {width} rows for each row of the decoder, got "
                f"{predictor.batch_size} rows; open a stream of that batch size"
            )
        self.symbols, self.blank, self.beam = symbols, blank, beam
        prediction = Prediction(predictor, joiner, symbols, first)
        search: FrameSearch
        if beam is None:
            search = TransducerGreedy(prediction, rows, blank, limit)
        else:
            search = TransducerBeam(prediction, rows, blank, width)
        super().__init__(search, rows, features, end_point or EndPoint())
        self._described, self._sizes = "RNN-T", {"start": first, "max_symbols": limit}
