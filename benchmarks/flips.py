"""How many symbols does a bundle change against PyTorch, over all test words of a run?

usage: flips.py RUN BUNDLE... [--limit N] [--json]

Both decode greedily from the same weights. A word is changed when any of its symbols is another;
for such a word the symbols that differ, in place or in number, are counted.
"""

import argparse
import json
import sys
from itertools import zip_longest
from pathlib import Path

import torch

import treadle
from treadle.transducer import Transducer
from treadle_train.evaluation import answer_pairs
from treadle_train.networks import Transducer as TransducerNetwork
from treadle_train.run import load_run


def main() -> int:
    """Decode with PyTorch, then with each bundle; print one line a bundle."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    run = load_run(arguments.run)
    if not isinstance(run.network, TransducerNetwork):
        print(f"{arguments.run} is no transducer: it decodes no words", file=sys.stderr)
        return 2
    words = run.dataset().split("test")[: arguments.limit]
    with torch.inference_mode():
        split = run.vocabularies["output"].split
        expected = [split(text) for text in answer_pairs(run, run.network, words)]
    rows = []
    for path in arguments.bundles:
        with treadle.load(path, unknown="symbol") as model:
            if not isinstance(model, Transducer):
                print(f"{path} is no transducer", file=sys.stderr)
                return 2
            found = model.transduce([word.inputs for word in words], beam=1)
            answers = [split(model.vocabularies["output"].text(best.ids)) for (best,) in found]
        pairs = list(zip(expected, answers, strict=True))
        changed = sum(mine != theirs for mine, theirs in pairs)
        symbols = sum(a != b for pair in pairs for a, b in zip_longest(*pair))
        row = {"bundle": path.name, "words": len(words), "changed": changed, "symbols": symbols}
        rows.append(row)
        if not arguments.json:
            print(f"{path.name}: {changed} of {len(words)} words changed, {symbols} symbols")
    if arguments.json:
        print(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
