"""From logits to symbols: greedy, sampling and beam search over one stream's batched state."""

from __future__ import annotations

from treadle.decoding.beam import beam_search, length_penalty
from treadle.decoding.constraint import (
    Callback,
    Constraining,
    Constraint,
    allowed_mask,
    as_constraint,
)
from treadle.decoding.ctc import CTCDecoder
from treadle.decoding.decoder import Decoded, Decoder, log_softmax, read_logits
from treadle.decoding.decoder_snapshot import DecoderSnapshot
from treadle.decoding.end_point import EndPoint
from treadle.decoding.greedy import greedy_search
from treadle.decoding.lexicon import Lexicon, choices
from treadle.decoding.philox import philox4x32, uniform
from treadle.decoding.regular import RegularExpression
from treadle.decoding.rnnt import RNNTDecoder
from treadle.decoding.sampled import sample_search
from treadle.decoding.sampling import Sampler
from treadle.decoding.stopping import StopStrings, until_stop
from treadle.decoding.time_limit import TimeLimit
from treadle.decoding.transcript import PartialTranscript, Transcript

__all__ = [
    "CTCDecoder",
    "Callback",
    "Constraining",
    "Constraint",
    "Decoded",
    "Decoder",
    "DecoderSnapshot",
    "EndPoint",
    "Lexicon",
    "PartialTranscript",
    "RNNTDecoder",
    "RegularExpression",
    "Sampler",
    "StopStrings",
    "TimeLimit",
    "Transcript",
    "allowed_mask",
    "as_constraint",
    "beam_search",
    "choices",
    "greedy_search",
    "length_penalty",
    "log_softmax",
    "philox4x32",
    "read_logits",
    "sample_search",
    "uniform",
    "until_stop",
]
