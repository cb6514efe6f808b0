"""Figures of transducers beside those of answers that nobody has to learn.

usage: python -m benchmarks.quality.pairs BUNDLE [BUNDLE …] [--split SPLIT] [--beam N] [--json]

Which baselines there are, the bundle's metric says: for ROUGE-L the first sentence of the source,
and its first ten words; for hits among the likeliest BM25 between question and answer, and between
question and the training split's questions; for BLEU the target of the training source that is
nearest by BM25; for the word error rate none. The exit status is 1 where a bundle does not beat
every baseline.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING

import treadle
from benchmarks.quality.retrieval import BM25, by_nearest, by_words
from treadle.data import open_dataset
from treadle.evaluation import check_digest, evaluate
from treadle.metrics import as_loss
from treadle.text_metrics import TEXT_FIGURES, different, hits_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.data import Pair
    from treadle.transducer import Transducer

    Pairs = Sequence[Pair]
    Written = Callable[[str], str]

LEAD = 10
"""Words of the shorter lead; synopses of packages have 7 on average."""
_SENTENCE = re.compile(r"(?<=[.!?]) ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table or the JSON document; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"))
    parser.add_argument("--beam", type=int, help="the bundle's by default")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    rows = [measured(path, options.split, options.beam) for path in options.bundles]
    if options.json:
        print(json.dumps(dict(zip(options.bundles, rows, strict=True))))
    else:
        for path, row in zip(options.bundles, rows, strict=True):
            print(f"{path}: " + ", ".join(f"{name} {value:.2f}" for name, value in row.items()))
    return int(not all(beats(row) for row in rows))


def measured(path: str, split: str, beam: int | None) -> dict[str, float]:
    """The bundle's figure under the name of its metric, then those of the baselines."""
    with treadle.load(path, unknown="symbol") as model:
        evaluation = model.manifest.evaluation
        metric = str(evaluation["metric"])
        dataset = open_dataset(evaluation["dataset"], evaluation["options"])
        check_digest(dataset, model.manifest.provenance.get("data"))
        ours = {metric: evaluate(model, split=split, beam=beam).value}
        return ours | baselines(model, metric, dataset.split("train"), dataset.split(split))


def beats(row: Mapping[str, float]) -> bool:
    """Whether the first figure is better than all others."""
    (metric, ours), *others = row.items()
    return all(as_loss(metric, ours) < as_loss(metric, value) for _, value in others)


def baselines(model: Transducer, metric: str, train: Pairs, test: Pairs) -> dict[str, float]:
    """Figures of the baselines of a metric, texts compared as the model's are."""
    written = model.text_reading("output").written
    right = [list(map(written, pair.answers)) for pair in test]
    if metric == "hits_at_10":
        answers, places = different(right)
        questions = [pair.inputs for pair in test]
        known = [(pair.inputs, pair.answers) for pair in train]
        return {
            "BM25 with answers": hits_at(by_words(questions, answers), places),
            "BM25 with known questions": hits_at(by_nearest(questions, answers, known), places),
        }
    made = {
        name: [written(text) for text in texts] for name, texts in _answers(metric, train, test)
    }
    return {name: TEXT_FIGURES[metric](texts, right) for name, texts in made.items()}


def _answers(metric: str, train: Pairs, test: Pairs) -> list[tuple[str, list[str]]]:
    """What each baseline answers to each source."""
    if metric == "rouge_l":
        sentences = [_SENTENCE.split(pair.inputs)[0] for pair in test]
        leads = [" ".join(pair.inputs.split()[:LEAD]) for pair in test]
        return [("first sentence", sentences), (f"first {LEAD} words", leads)]
    if metric != "bleu":
        return []
    index = BM25([pair.inputs for pair in train])
    best = [int(index.scores(pair.inputs).argmax()) for pair in test]
    return [("nearest training source", [train[place].answers[0] for place in best])]


if __name__ == "__main__":
    sys.exit(main())
