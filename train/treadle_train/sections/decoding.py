"""Sections of a recipe about how its bundle searches."""

from dataclasses import dataclass

from treadle.searchable import LENGTH_PENALTY, WIDEST_BEAM
from treadle_train.sections.reading import at_least


@dataclass(frozen=True, kw_only=True)
class DecodingSection:
    """How a bundle searches unless told otherwise, and when it gives up.

    beam: hypotheses kept, 1 is greedy; length_penalty: the exponent of the length penalty
    (`treadle.decoding.beam`).
    """

    max_length: int = at_least(1, 40)
    beam: int = at_least(1, 1, below=WIDEST_BEAM + 1)
    length_penalty: float = at_least(0, LENGTH_PENALTY, below=10)


@dataclass(frozen=True, kw_only=True)
class SpeechDecodingSection:
    """How a bundle searches unless told otherwise. beam: hypotheses kept, 1 is greedy."""

    beam: int = at_least(1, 1, below=WIDEST_BEAM + 1)
