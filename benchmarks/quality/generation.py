"""Likelihood of what generators write, beside that of counted n-grams of the same symbols.

usage: python -m benchmarks.quality.generation BUNDLE [BUNDLE …] [--orders N …] [--split S] [--json]

The n-grams (kneser_ney.py) are counted on the training split of the data set that the first bundle
names, with its vocabulary: a symbol that is unknown to one is unknown to all. Their order is the
best of `--orders` on the validation split. All are judged in nats a symbol, ends included. The exit
status is 1 where a bundle does not beat the n-grams.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

import treadle
from benchmarks.quality.kneser_ney import KneserNey
from treadle.data import open_dataset, written_of
from treadle.evaluation import check_digest, symbol_nats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from treadle.data import Dataset
    from treadle.generator import Generator
    from treadle.vocabulary import Vocabulary


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table or the JSON document; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE")
    parser.add_argument("--orders", nargs="+", type=int, default=[3, 6, 12, 18])
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with treadle.load(options.bundles[0], unknown="symbol") as model:
        order, counted = counted_nats(model, options.orders, options.split)
    figures = {f"interpolated Kneser-Ney, order {order}": counted}
    for path in options.bundles:
        with treadle.load(path, unknown="symbol") as model:
            figures[path] = float(symbol_nats(model, split=options.split).mean())
    if options.json:
        print(json.dumps(figures))
    else:
        print("| | nats a symbol |\n|---|---|")
        print("\n".join(f"| {name} | {value:.4f} |" for name, value in figures.items()))
    return int(max(figures[path] for path in options.bundles) >= counted)


def counted_nats(model: Generator, orders: Sequence[int], split: str) -> tuple[int, float]:
    """The order that is best on the validation split, and its nats a symbol on `split`."""
    evaluation = model.manifest.evaluation
    dataset = open_dataset(evaluation["dataset"], evaluation["options"])
    check_digest(dataset, model.manifest.provenance.get("data"))
    vocabulary = model.vocabularies["output"]
    training = written_ids(dataset, vocabulary, "train")
    validation = written_ids(dataset, vocabulary, "validation")
    grams = [KneserNey(training, order, len(vocabulary)) for order in orders]
    best = int(np.argmin([nats_of(gram, validation).mean() for gram in grams]))
    nats = nats_of(grams[best], written_ids(dataset, vocabulary, split))
    return orders[best], float(nats.mean())


def written_ids(dataset: Dataset[Any], vocabulary: Vocabulary, split: str) -> list[list[int]]:
    """The symbols of every sequence of a split, and its end."""
    texts = map(written_of, dataset.split(split))
    end = [] if vocabulary.end is None else [vocabulary.end]
    return [[*vocabulary.encode(text, unknown="symbol"), *end] for text in texts]


def nats_of(gram: KneserNey, sequences: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Of all symbols, one sequence after another."""
    return np.concatenate([gram.nats(sequence) for sequence in sequences])


if __name__ == "__main__":
    sys.exit(main())
