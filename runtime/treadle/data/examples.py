"""What the examples of data sets are: a text or frames with a label, tags, pairs, series.

Every example says its whole content in bytes, from which the digest of a data set is made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from treadle.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Text: TypeAlias = str | tuple[str, ...]
"""A text as it is written, or its tokens."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text, or the tokens of one, and its label."""

    text: Text
    label: str

    @property
    def inputs(self) -> str:
        """What is labelled, as one text: tokens with spaces between."""
        return _joined(self.text)

    def content(self) -> bytes:
        """Everything the example says."""
        return _json(self.text, self.label)


@dataclass(frozen=True, slots=True)
class Tagged:
    """Tokens with a tag each; `layers` holds further tags by the name of their column.

    Raises DataError unless there is a tag for every token.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, tags in {"tags": self.tags, **self.layers}.items():
            if len(tags) != len(self.tokens):
                raise DataError(
                    f"expected one of {name} for each of {len(self.tokens)} tokens, "
                    f"got {len(tags)}: {' '.join(self.tokens)[:80]!r}"
                )

    def content(self) -> bytes:
        """Everything the example says."""
        return _json(self.tokens, self.tags, dict(self.layers))


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and every target that is right for it, at least one: references, or answers.

    Raises DataError when there is no target.
    """

    source: Text
    targets: tuple[Text, ...]

    def __post_init__(self) -> None:
        if not self.targets:
            raise DataError(f"expected a target for the source {str(self.source)[:80]!r}, got none")

    @property
    def inputs(self) -> str:
        """The source as one text: tokens with spaces between."""
        return _joined(self.source)

    @property
    def answers(self) -> tuple[str, ...]:
        """Every target as one text."""
        return tuple(map(_joined, self.targets))

    def content(self) -> bytes:
        """Everything the example says."""
        return _json(self.source, self.targets)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Values of several channels over time.

    values: float32 [time, channels]; channels: their names; times: datetime64 [time], or None
    where only the order is known. Raises DataError when shapes do not fit or a value is no number.
    """

    values: NDArray[np.float32]
    channels: tuple[str, ...]
    times: NDArray[np.datetime64] | None = None

    def __post_init__(self) -> None:
        _check_values(self.values, "channels")
        if self.values.shape[1] != len(self.channels):
            raise DataError(
                f"expected names for {self.values.shape[1]} channels, got {len(self.channels)}"
            )
        if self.times is not None and self.times.shape != self.values.shape[:1]:
            raise DataError(f"expected {len(self)} times, got the shape {self.times.shape}")

    def __len__(self) -> int:
        """How many steps of time."""
        return len(self.values)

    def __getitem__(self, part: slice) -> Series:
        """The same channels over a part of the time."""
        times = None if self.times is None else self.times[part]
        return Series(self.values[part], self.channels, times)

    def of(self, channels: Sequence[str]) -> NDArray[np.float32]:
        """The values of these channels in their order, float32 [time, channels].

        Raises DataError for a channel that the series lacks.
        """
        if missing := [name for name in channels if name not in self.channels]:
            raise DataError(
                f"expected channels out of {', '.join(self.channels)}, got {missing[0]!r}"
            )
        return self.values[:, [self.channels.index(name) for name in channels]]

    def content(self) -> bytes:
        """Everything the example says."""
        content = _json(self.channels) + _array(self.values)
        if self.times is None:
            return content
        return content + _array(self.times.astype("datetime64[us]").astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames of features, and what they are: one label, a sequence of symbols, or unknown.

    values: float32 [time, features]. Raises DataError when there are no frames, a value is no
    number, or there are a label and symbols.
    """

    values: NDArray[np.float32]
    label: str | None = None
    symbols: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_values(self.values, "features")
        if self.label is not None and self.symbols is not None:
            raise DataError("expected frames with a label or with symbols, got both")

    @property
    def inputs(self) -> NDArray[np.float32]:
        """What is labelled: `values`."""
        return self.values

    def __len__(self) -> int:
        """How many frames."""
        return len(self.values)

    def content(self) -> bytes:
        """Everything the example says."""
        return _json(self.label, self.symbols) + _array(self.values)


Classified: TypeAlias = Labelled | Frames
"""What has one label: `inputs` are a text or float32 [time, features]."""


Conditioned: TypeAlias = Labelled | Frames
"""What is written for a label, or for a vector: one frame with symbols."""


def given_of(example: Conditioned) -> str | NDArray[np.float32]:
    """What something is written for: the label, or float32 [features].

    Raises DataError where there is neither.
    """
    if isinstance(example, Labelled):
        return example.label
    if example.symbols is None or len(example) != 1:
        raise DataError(
            f"expected a vector and symbols that are written for it, one frame with symbols, got "
            f"{len(example)} frames and {'no' if example.symbols is None else 'some'} symbols"
        )
    vector: NDArray[np.float32] = example.values[0]
    return vector


def written_of(example: Conditioned) -> str:
    """What is written, as one text: symbols with spaces between."""
    return example.inputs if isinstance(example, Labelled) else " ".join(example.symbols or ())


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """The same numbers; what float32 cannot hold becomes infinite, which every example refuses."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, np.float32)


def _joined(text: Text) -> str:
    return text if isinstance(text, str) else " ".join(text)


def _check_values(values: NDArray[np.float32], columns: str) -> None:
    if values.dtype != np.float32 or values.ndim != 2 or 0 in values.shape:
        raise DataError(
            f"expected float32 values [time, {columns}] of at least one step, "
            f"got {values.dtype} {list(values.shape)}"
        )
    if not np.isfinite(values).all():
        step, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"expected numbers, got {values[step, column]} at step {step} of {columns} {column}; "
            "leave the example out, or fill the gap"
        )


def _json(*parts: object) -> bytes:
    return json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _array(values: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return f"{little.dtype.str}{list(little.shape)}".encode() + little.tobytes()
