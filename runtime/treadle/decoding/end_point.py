"""When an utterance is over: rules over the frames that gave nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from treadle.arrays import check_count

EndReason = Literal["trailing blank", "leading blank", "length"]
REASONS: tuple[EndReason | None, ...] = (None, *get_args(EndReason))


@dataclass(frozen=True, slots=True)
class EndPoint:
    """A row is over as soon as one of these rules holds after a frame; None switches a rule off.

    trailing_blank: this many frames of blank in a row, after the best hypothesis got a symbol.
    leading_blank: this many frames from the start, and the best hypothesis is still empty.
    max_frames: this many frames, whatever they held.

    All count frames, at least 1. What a frame of blank is, the decoder says. Raises InputError.
    """

    trailing_blank: int | None = None
    leading_blank: int | None = None
    max_frames: int | None = None

    def __post_init__(self) -> None:
        for rule in fields(self):
            value = getattr(self, rule.name)
            if value is not None:
                check_count(value, rule.name, 1)

    def reached(self, *, frames: int, blanks: int, spoken: bool) -> EndReason | None:
        """Which rule holds, if any.

        `frames` were read, the last `blanks` of them of blank; `spoken` says whether the best
        hypothesis has a symbol.
        """
        if spoken and self.trailing_blank is not None and blanks >= self.trailing_blank:
            return "trailing blank"
        if not spoken and self.leading_blank is not None and frames >= self.leading_blank:
            return "leading blank"
        if self.max_frames is not None and frames >= self.max_frames:
            return "length"
        return None
