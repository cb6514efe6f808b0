"""From logits to symbols: greedy, sampling and beam search over one stream's batched state."""

from __future__ import annotations

from treadle.decoding.beam import beam_search, length_penalty
from treadle.decoding.decoder import Decoded, Decoder, log_softmax, read_logits
from treadle.decoding.greedy import greedy_search
from treadle.decoding.philox import philox4x32, uniform
from treadle.decoding.sampling import Sampler

__all__ = [
    "Decoded",
    "Decoder",
    "Sampler",
    "beam_search",
    "greedy_search",
    "length_penalty",
    "log_softmax",
    "philox4x32",
    "read_logits",
    "uniform",
]
