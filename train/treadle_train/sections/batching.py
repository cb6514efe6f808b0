"""Sections of a recipe about batches, one a task."""

from dataclasses import dataclass
from typing import Literal

from treadle.errors import RecipeError
from treadle_train.sections.reading import at_least, rate

ReadingName = Literal["words", "characters", "frames"]
WrittenName = Literal["symbols", "characters", "words"]
TooLongName = Literal["error", "leave-out"]


@dataclass(frozen=True, kw_only=True)
class BucketSection:
    """How pairs of sequences become batches.

    window: so many batches are sorted by length together (0: the whole epoch); unknown_rate: the
    share of source symbols replaced by the unknown symbol, so that it learns a meaning; too_long:
    what becomes of a training pair of which a side is longer than its `longest`.
    """

    too_long: TooLongName = "error"
    batch_size: int = at_least(1, 256)
    window: int = at_least(0, 0)
    unknown_rate: float = rate(0.002)


@dataclass(frozen=True, kw_only=True)
class LaneSection:
    """How one long text becomes batches.

    batch_size lanes run through the text side by side, `steps` symbols a batch, the state carried
    from batch to batch; unknown_rate: the share of input symbols replaced by the unknown symbol.
    """

    batch_size: int = at_least(1, 64)
    steps: int = at_least(1, 128)
    unknown_rate: float = rate(0.002)


@dataclass(frozen=True, kw_only=True)
class ReadingSection:
    """What a classifier reads, and how its inputs become batches.

    of: "words" or "characters" of a text (`treadle.vocabulary`), or "frames" of numbers;
    least_count: a symbol that the training split has less often is unknown; batch_size, window,
    unknown_rate: as in `BucketSection`.
    """

    of: ReadingName = "words"
    least_count: int = at_least(1, 1)
    batch_size: int = at_least(1, 64)
    window: int = at_least(0, 0)
    unknown_rate: float = rate(0.0)


@dataclass(frozen=True, kw_only=True)
class SeriesSection:
    """Which channels of a series are read, which is forecast, and how it becomes batches.

    target: one of `channels`; batch_size, steps: as in `LaneSection`, in frames.
    """

    channels: tuple[str, ...]
    target: str
    batch_size: int = at_least(1, 16)
    steps: int = at_least(1, 64)

    def __post_init__(self) -> None:
        if self.target not in self.channels or len({*self.channels}) < len(self.channels):
            raise RecipeError(
                f"batching.channels should be different names, batching.target among them, got "
                f"{list(self.channels)} and {self.target!r}."
            )


@dataclass(frozen=True, kw_only=True)
class TokenSection:
    """What a tagger knows of tokens, and how sentences become batches.

    lowercase: tokens are read in lower case; least_count, batch_size, window, unknown_rate: as in
    `ReadingSection`.
    """

    lowercase: bool = False
    least_count: int = at_least(1, 1)
    batch_size: int = at_least(1, 32)
    window: int = at_least(0, 0)
    unknown_rate: float = rate(0.0)


@dataclass(frozen=True, kw_only=True)
class UtteranceSection:
    """How utterances become batches: batch_size and window as in `BucketSection`."""

    batch_size: int = at_least(1, 32)
    window: int = at_least(0, 0)


@dataclass(frozen=True, kw_only=True)
class WritingSection:
    """What a generator writes, and how sequences become batches.

    of: "symbols" that white space separates, "characters" or "words" (`treadle.vocabulary`);
    least_count: a symbol that the training split has less often is unknown; longest: training reads
    so many symbols of a sequence (0: all); unknown_rate: the share of symbols that are read as the
    unknown one; batch_size, window: as in `BucketSection`, by the length of what is written.
    """

    of: WrittenName = "symbols"
    least_count: int = at_least(1, 1)
    longest: int = at_least(0, 0)
    batch_size: int = at_least(1, 64)
    window: int = at_least(0, 0)
    unknown_rate: float = rate(0.002)
