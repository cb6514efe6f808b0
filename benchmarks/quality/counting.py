"""What counting or repeating reaches on a run's test split: figures that take no training."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from benchmarks.quality.baselines import repeat_last, repeat_season
from benchmarks.quality.kneser_ney import KneserNey
from treadle.forecast_errors import horizon_errors, mean_over
from treadle.metrics import (
    accuracy,
    bits_per_character,
    macro_f1,
    nats_per_character,
    perplexity,
    span_f1,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle_train.run import Run


def _most_frequent_label(run: Run, metric: str) -> float:
    dataset = run.dataset()
    counts = Counter(str(example.label) for example in dataset.split("train"))
    right = [str(example.label) for example in dataset.split("test")]
    said = [counts.most_common(1)[0][0]] * len(right)
    return {"accuracy": accuracy, "macro_f1": macro_f1}[metric](said, right)


def _most_frequent_tags(run: Run, metric: str) -> float:
    """A token that training does not have gets the tag that is most frequent of all."""
    dataset = run.dataset()
    everywhere = Counter[str]()
    of_token: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for example in dataset.split("train"):
        everywhere.update(example.tags)
        for token, tag in zip(example.tokens, example.tags, strict=True):
            of_token[token][tag] += 1
    said, right = [], []
    for example in dataset.split("test"):
        counts = [of_token.get(token, everywhere) for token in example.tokens]
        said.append([count.most_common(1)[0][0] for count in counts])
        right.append(example.tags)
    if metric == "span_f1":
        return span_f1(said, right)
    return accuracy([*chain(*said)], [*chain(*right)])


def _kneser_ney(run: Run, metric: str, order: int) -> float:
    """Over the symbols of the run's own vocabulary."""
    dataset, vocabulary = run.dataset(), run.vocabularies["symbols"]
    train, test = (
        vocabulary.encode(dataset.split(split), unknown="symbol") for split in ("train", "test")
    )
    nats = KneserNey([train], order, len(vocabulary)).nats(test)
    if metric == "perplexity":
        return perplexity(nats)
    figure = {"bits_per_character": bits_per_character, "nats_per_character": nats_per_character}
    return figure[metric](nats, len(dataset.split("test")))


def _repeated(run: Run, metric: str, *, season: bool) -> float:
    """The mean over horizons, on the frames that a forecaster is judged on."""
    said = run.decoding
    [values] = run.dataset().split("test").of([said["target"]]).T
    steps, period = max(said["horizons"]), said["season"]
    made = repeat_season(values, steps, period) if season else repeat_last(values, steps)
    errors = horizon_errors(
        made, values, said["horizons"], first=period - 1, deviation=said["deviation"]
    )
    return mean_over(errors, "mae" if metric == "mae" else "mse")


COUNTED: dict[str, Callable[[Run, str], float]] = {
    "the most frequent label": _most_frequent_label,
    "each token's most frequent tag": _most_frequent_tags,
    "the last value again": partial(_repeated, season=False),
    "the last season again": partial(_repeated, season=True),
    "interpolated Kneser-Ney, order 3": partial(_kneser_ney, order=3),
    "interpolated Kneser-Ney, order 5": partial(_kneser_ney, order=5),
}
"""Name -> (run, metric) -> the figure on the test split."""
