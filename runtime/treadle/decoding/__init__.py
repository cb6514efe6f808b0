"""From logits to symbols: greedy, sampling and beam search over one stream's batched state."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

# Name -> where it is: a program that decodes in one way does not load the others.
_HOMES = {
    "CTCDecoder": "treadle.decoding.ctc",
    "Callback": "treadle.decoding.constraint",
    "Constraining": "treadle.decoding.constraint",
    "Constraint": "treadle.decoding.constraint",
    "Decoded": "treadle.decoding.decoder",
    "Decoder": "treadle.decoding.decoder",
    "DecoderSnapshot": "treadle.decoding.decoder_snapshot",
    "EndPoint": "treadle.decoding.end_point",
    "Lexicon": "treadle.decoding.lexicon",
    "PartialTranscript": "treadle.decoding.transcript",
    "RNNTDecoder": "treadle.decoding.rnnt",
    "RegularExpression": "treadle.decoding.regular",
    "Sampler": "treadle.decoding.sampling",
    "StopStrings": "treadle.decoding.stopping",
    "TimeLimit": "treadle.decoding.time_limit",
    "Transcript": "treadle.decoding.transcript",
    "allowed_mask": "treadle.decoding.constraint",
    "as_constraint": "treadle.decoding.constraint",
    "beam_search": "treadle.decoding.beam",
    "choices": "treadle.decoding.lexicon",
    "greedy_search": "treadle.decoding.greedy",
    "length_penalty": "treadle.decoding.beam",
    "log_softmax": "treadle.decoding.decoder",
    "philox4x32": "treadle.decoding.philox",
    "read_logits": "treadle.decoding.decoder",
    "sample_search": "treadle.decoding.sampled",
    "uniform": "treadle.decoding.philox",
    "until_stop": "treadle.decoding.stopping",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'treadle.decoding' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
