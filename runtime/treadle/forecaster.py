"""Forecaster: how a channel of a series goes on, said anew after every frame."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle.errors import BundleError, InputError
from treadle.forecast_errors import HorizonErrors, differences, horizon_errors
from treadle.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

# Rows of one call: enough that a call costs nothing against them, few enough for any memory.
_ROWS = 64
# Frames of one call where the forecast after every frame is kept.
_FRAMES = 512


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """What is expected after the last frame, in the data's own unit.

    values: float32 [steps, quantiles], one step ahead first; one column, the mean, where there are
    no quantiles. horizons: the steps ahead that the model is judged at, the last of them `steps`.
    """

    horizons: tuple[int, ...]
    quantiles: tuple[float, ...]
    values: NDArray[np.float32]

    @property
    def central(self) -> NDArray[np.float32]:
        """The median, or the mean where there are no quantiles, float32 [steps]."""
        return self.values[:, _central(self.quantiles)]

    def to_json(self) -> dict[str, Any]:
        """The central forecast of every step, and the values of every quantile by its name."""
        named = zip(map(str, self.quantiles), self.values.T.tolist(), strict=False)
        return {"forecast": self.central.tolist(), "quantiles": dict(named)}


class Forecaster(Model):
    """A model of the task "forecasting": frames in, the steps that follow out.

    The manifest's `decoding` says what its numbers mean. A stream's `step` gives float32 [batch,
    steps * quantiles], which `forecasts` reads.
    """

    @property
    def channels(self) -> tuple[str, ...]:
        """What a frame holds, by name."""
        return tuple(map(str, self._said("channels", list)))

    @property
    def target(self) -> str:
        """The channel that is forecast."""
        return str(self._said("target", str))

    @property
    def horizons(self) -> tuple[int, ...]:
        """Steps ahead at which the model is judged; every step up to the largest is forecast."""
        return tuple(map(int, self._said("horizons", list)))

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles that are forecast, rising; none where it is the mean."""
        return tuple(map(float, self._said("quantiles", list)))

    @property
    def season(self) -> int:
        """Frames that the model reads at a time: no fewer can be forecast from."""
        return int(self._said("season", int))

    @property
    def deviation(self) -> float:
        """The target's deviation over the training split, the unit of errors."""
        return float(self._said("deviation", float))

    def forecast(self, series: ArrayLike | Sequence[ArrayLike]) -> list[Forecast]:
        """The forecast after the last frame of each series, in their order.

        A series is float32 [time, channels] of at least `season` frames; one alone is a list of
        one. They may have any lengths: those of similar length are read together, 64 at a time,
        and none sees another's. Raises InputError for one that is too short, numbers that are not
        finite, and another dtype or shape.
        """
        alone = isinstance(series, np.ndarray) and series.dtype != object and series.ndim == 2
        rows: Any = [series] if alone else series
        rows = [self._checked(index, one) for index, one in enumerate(rows)]
        made: dict[int, Forecast] = {}
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        for first in range(0, len(rows), _ROWS):
            chosen = order[first : first + _ROWS]
            x, lengths = self.reading("sequence").stacked([rows[index] for index in chosen])
            with closing(self.stream(batch_size=len(chosen))) as stream:
                made |= zip(chosen, self.forecasts(stream.feed(x, lengths)), strict=True)
        return [made[index] for index in range(len(rows))]

    def running(self, series: ArrayLike) -> Iterator[Forecast]:
        """The forecast after each frame of one series, from the first `season` frames on.

        The last is what `forecast` gives. Each costs one step, when it is asked for. For frames
        that are not there yet, open a `stream` and give what its `step` returns to `forecasts`.
        Raises InputError as `forecast`.
        """
        frames = self._checked(0, series)
        with closing(self.stream()) as stream:
            for number, frame in enumerate(frames, 1):
                output = stream.step(frame[None])
                if number >= self.season:
                    yield from self.forecasts(output)

    def forecasts(self, outputs: NDArray[np.float32]) -> list[Forecast]:
        """What outputs [rows, steps * quantiles] of a stream say, a forecast a row."""
        horizons, quantiles = self.horizons, self.quantiles
        return [Forecast(horizons, quantiles, values) for values in self._arranged(outputs)]

    def errors(self, series: ArrayLike) -> tuple[HorizonErrors, ...]:
        """How far the central forecasts after all frames of one series are off, at each horizon.

        The state is carried from the first frame to the last, and forecasts count from the first
        `season` frames on. Raises InputError as `forecast`, and where too little follows.
        """
        values, forecasts = self._judged(series)
        return horizon_errors(
            forecasts[..., _central(self.quantiles)],
            values,
            self.horizons,
            first=self.season - 1,
            deviation=self.deviation,
        )

    def losses(self, series: ArrayLike) -> NDArray[np.float64]:
        """How unlikely what follows each frame is, in nats up to a constant, float64 [origins].

        The mean over steps and quantiles of the standardized values: half the squared error (a
        normal distribution of deviation 1), or the pinball loss (the asymmetric Laplace
        distribution of scale 1; Koenker & Machado, "Goodness of fit and related inference
        processes for quantile regression", 1999). Raises InputError as `errors`.
        """
        values, forecasts = self._judged(series)
        steps = forecasts.shape[1]
        off = differences(forecasts, values, steps, first=self.season - 1) / self.deviation
        shares = np.array(self.quantiles)
        loss = np.maximum(-shares * off, (1 - shares) * off) if len(shares) else off**2 / 2
        nats: NDArray[np.float64] = loss.mean(axis=(1, 2))
        return nats

    def _judged(self, series: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The target's values [N], and the forecasts after each frame [N, steps, quantiles]."""
        frames = self._checked(0, series)
        with closing(self.stream()) as stream:
            outputs = [
                stream.unroll(frames[None, first : first + _FRAMES])[0]
                for first in range(0, len(frames), _FRAMES)
            ]
        target = self.channels.index(self.target)
        return frames[:, target], self._arranged(np.concatenate(outputs))

    def _arranged(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """[rows, steps, quantiles]; quantiles that cross are put in order.

        Chernozhukov, Fernández-Val & Galichon, "Quantile and probability curves without crossing",
        2010.
        """
        steps, columns = max(self.horizons), len(self.quantiles) or 1
        if outputs.ndim != 2 or outputs.shape[1] != steps * columns:
            raise InputError(
                f"expected outputs of {self.manifest.name}, [rows, {steps * columns}], got "
                f"{list(outputs.shape)}; give what a stream's step returns"
            )
        return np.sort(outputs.reshape(len(outputs), steps, columns), axis=-1)

    def _checked(self, index: int, series: ArrayLike) -> NDArray[np.float32]:
        """One series as the graph reads it, [time, channels]."""
        reading = self.reading("sequence")
        frames = reading.array(series, "time")
        if len(frames) < self.season:
            raise InputError(
                f"series {index} has {len(frames)} frames, but {self.manifest.name} forecasts from "
                f"{self.season} at least; give more of its past"
            )
        reading.check_values(frames)
        return frames

    def _said(self, key: str, kind: type) -> Any:
        value = self.manifest.decoding.get(key)
        if not isinstance(value, kind):
            raise BundleError(
                f"expected decoding.{key} of {self.manifest.name} to be a {kind.__name__}, got "
                f"{value!r}; export the bundle again"
            )
        return value


def _central(quantiles: tuple[float, ...]) -> int:
    """The column of the median; the only one where there are no quantiles."""
    return int(np.argmin([abs(share - 0.5) for share in quantiles])) if quantiles else 0
