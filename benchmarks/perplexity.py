"""How much perplexity do bundles lose against a float32 one, on the same test split?

usage: perplexity.py FLOAT32 BUNDLE... [--limit N] [--at-most SHARE] [--json]

Teacher-forced: e to the mean nats a symbol; the rise with its 95 % confidence, paired symbol by
symbol. With --at-most 0.004 the exit status is 1 when the last bundle's perplexity is more than
0.4 % above the first one's.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import treadle
from treadle.evaluation import symbol_nats
from treadle.metrics import paired_rise


def main() -> int:
    """Measure each bundle; print one line for each, or one document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--at-most", type=float, default=math.inf)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    nats = []
    for path in arguments.bundles:
        with treadle.load(path, unknown="symbol") as model:
            nats.append(symbol_nats(model, split="test", limit=arguments.limit))
    rows = []
    for path, values in zip(arguments.bundles, nats, strict=True):
        risen = paired_rise(nats[0], values)
        rise, low, high = (
            math.expm1(share * nats[0].mean()) for share in (risen.relative, risen.low, risen.high)
        )
        perplexity = math.exp(values.mean())
        rows.append({"bundle": path.name, "perplexity": perplexity, "rise": rise})
        rows[-1] |= {"low": low, "high": high}
        if not arguments.json:
            print(f"{path.name}: {perplexity:.4f}, {rise:+.3%} ({low:+.3%} to {high:+.3%})")
    if arguments.json:
        print(json.dumps(rows))
    return 1 if rows[-1]["rise"] > arguments.at_most else 0


if __name__ == "__main__":
    sys.exit(main())
