"""From logits to symbols: greedy, sampling and beam search over one stream's batched state."""

from __future__ import annotations

from treadle.decoding.beam import beam_search, length_penalty
from treadle.decoding.ctc import CTCDecoder
from treadle.decoding.decoder import Decoded, Decoder, log_softmax, read_logits
from treadle.decoding.end_point import EndPoint
from treadle.decoding.greedy import greedy_search
from treadle.decoding.philox import philox4x32, uniform
from treadle.decoding.rnnt import RNNTDecoder
from treadle.decoding.sampling import Sampler
from treadle.decoding.transcript import PartialTranscript, Transcript

__all__ = [
    "CTCDecoder",
    "Decoded",
    "Decoder",
    "EndPoint",
    "PartialTranscript",
    "RNNTDecoder",
    "Sampler",
    "Transcript",
    "beam_search",
    "greedy_search",
    "length_penalty",
    "log_softmax",
    "philox4x32",
    "read_logits",
    "uniform",
]
