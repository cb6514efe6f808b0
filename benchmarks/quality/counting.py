"""What counting or repeating reaches on a run's test split: figures that take no training."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from benchmarks.quality.baselines import repeat_last, repeat_season
from benchmarks.quality.generation import nats_of, written_ids
from benchmarks.quality.kneser_ney import KneserNey
from benchmarks.quality.retrieval import BM25, by_nearest, by_words
from treadle.forecast_errors import horizon_errors, mean_over
from treadle.metrics import (
    accuracy,
    bits_per_character,
    macro_f1,
    nats_per_character,
    nats_per_symbol,
    perplexity,
    span_f1,
)
from treadle.text_metrics import TEXT_FIGURES, different, hits_at
from treadle.texts import TextReading

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle_train.run import Run

_SENTENCE = re.compile(r"(?<=[.!?]) ")


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


def _kneser_ney_of_sequences(run: Run, metric: str, order: int) -> float:
    """As `_kneser_ney`, of sequences that know nothing of each other, ends included."""
    dataset, vocabulary = run.dataset(), run.vocabularies["output"]
    gram = KneserNey(written_ids(dataset, vocabulary, "train"), order, len(vocabulary))
    nats = nats_of(gram, written_ids(dataset, vocabulary, "test"))
    return {"nats_per_symbol": nats_per_symbol, "perplexity": perplexity}[metric](nats)


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


def _first_sentence(run: Run, metric: str) -> float:
    sources = [_SENTENCE.split(pair.inputs)[0] for pair in run.dataset().split("test")]
    return _of_texts(run, metric, sources)


def _lead(run: Run, metric: str, words: int) -> float:
    sources = [pair.inputs.split()[:words] for pair in run.dataset().split("test")]
    return _of_texts(run, metric, [" ".join(kept) for kept in sources])


def _nearest_source(run: Run, metric: str) -> float:
    """The target of the training source that BM25 finds nearest."""
    train, test = (run.dataset().split(split) for split in ("train", "test"))
    index = BM25([pair.inputs for pair in train])
    best = [int(index.scores(pair.inputs).argmax()) for pair in test]
    return _of_texts(run, metric, [train[place].answers[0] for place in best])


def _of_texts(run: Run, metric: str, said: list[str]) -> float:
    """Texts compared as the run's answers are."""
    written = TextReading.of(run.vocabularies, run.decoding, "output").written
    right = [list(map(written, pair.answers)) for pair in run.dataset().split("test")]
    return TEXT_FIGURES[metric](list(map(written, said)), right)


def _ranked(run: Run, _: str, *, by_questions: bool) -> float:
    """Hits of BM25 between questions and answers, or known questions and what was answered."""
    written = TextReading.of(run.vocabularies, run.decoding, "output").written
    train, test = (run.dataset().split(split) for split in ("train", "test"))
    answers, right = different([list(map(written, pair.answers)) for pair in test])
    questions = [pair.inputs for pair in test]
    if by_questions:
        known = [(pair.inputs, pair.answers) for pair in train]
        return hits_at(by_nearest(questions, answers, known), right)
    return hits_at(by_words(questions, answers), right)


COUNTED: dict[str, Callable[[Run, str], float]] = {
    "the most frequent label": _most_frequent_label,
    "each token's most frequent tag": _most_frequent_tags,
    "the last value again": partial(_repeated, season=False),
    "the last season again": partial(_repeated, season=True),
    "interpolated Kneser-Ney of sequences, order 18": partial(_kneser_ney_of_sequences, order=18),
    "the first sentence": _first_sentence,
    "the first ten words": partial(_lead, words=10),
    "the target of the nearest training source by BM25": _nearest_source,
    "BM25 between question and answer": partial(_ranked, by_questions=False),
    "BM25 between question and known questions": partial(_ranked, by_questions=True),
    "interpolated Kneser-Ney, order 3": partial(_kneser_ney, order=3),
    "interpolated Kneser-Ney, order 5": partial(_kneser_ney, order=5),
}
"""Name -> (run, metric) -> the figure on the test split."""
