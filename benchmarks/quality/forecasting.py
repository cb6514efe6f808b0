"""Errors of forecasters beside those of forecasts that nobody has to learn, horizon by horizon.

usage: python -m benchmarks.quality.forecasting BUNDLE [BUNDLE …] [--split SPLIT] [--json]

All are judged on the same frames of the data set that the first bundle names, standardized by the
training split. The exit status is 1 where a bundle does not beat both baselines in both figures at
every horizon.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import treadle
from benchmarks.quality.baselines import repeat_last, repeat_season
from treadle.data import open_dataset
from treadle.evaluation import check_digest
from treadle.forecast_errors import horizon_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.data import Series
    from treadle.forecast_errors import HorizonErrors
    from treadle.forecaster import Forecaster

    Errors = Mapping[str, tuple[HorizonErrors, ...]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table or the JSON document; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    baselines, models = measured(options.bundles, options.split)
    if options.json:
        both = {**baselines, **models}
        print(json.dumps({name: [asdict(e) for e in errors] for name, errors in both.items()}))
    else:
        print("\n".join(table({**baselines, **models})))
    return int(not all(beats(errors, baselines) for errors in models.values()))


def measured(bundles: Sequence[str], split: str) -> tuple[Errors, Errors]:
    """The errors of the baselines, and those of each bundle by its path."""
    baselines: Errors = {}
    models = {}
    for path in bundles:
        with treadle.load(path) as model:
            evaluation = model.manifest.evaluation
            dataset = open_dataset(evaluation["dataset"], evaluation["options"])
            check_digest(dataset, model.manifest.provenance.get("data"))
            series = dataset.split(split)
            baselines = baselines or baseline_errors(model, series)
            models[path] = model.errors(series.of(model.channels))
    return baselines, models


def baseline_errors(model: Forecaster, series: Series) -> dict[str, tuple[HorizonErrors, ...]]:
    """The baselines on what a model is judged on."""
    [values] = series.of([model.target]).T
    steps, season = max(model.horizons), model.season
    made = {
        "repeat-last": repeat_last(values, steps),
        f"seasonal-{season}": repeat_season(values, steps, season),
    }
    return {
        name: horizon_errors(
            forecasts, values, model.horizons, first=season - 1, deviation=model.deviation
        )
        for name, forecasts in made.items()
    }


def beats(errors: Sequence[HorizonErrors], baselines: Errors) -> bool:
    """Whether both figures are lower than those of every baseline, at every horizon."""
    return all(
        ours.mse < theirs.mse and ours.mae < theirs.mae
        for baseline in baselines.values()
        for ours, theirs in zip(errors, baseline, strict=True)
    )


def table(measured: Errors) -> list[str]:
    """MSE / MAE: a row each, a column a horizon, the mean last."""
    horizons = [errors.horizon for errors in next(iter(measured.values()))]
    lines = [f"| | {' | '.join(f'{h} steps' for h in horizons)} | mean |"]
    lines.append("|---" * (len(horizons) + 2) + "|")
    for name, errors in measured.items():
        figures = [(one.mse, one.mae) for one in errors]
        means = [sum(column) / len(figures) for column in zip(*figures, strict=True)]
        cells = [f"{mse:.4f} / {mae:.4f}" for mse, mae in [*figures, (means[0], means[1])]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
