"""How much perplexity do bundles lose against a float32 one, on the same test split?

usage: perplexity.py FLOAT32 BUNDLE... [--limit N] [--at-most SHARE] [--json]

Teacher-forced: e to the mean nats a symbol. With --at-most 0.004 the exit status is 1 when the last
bundle's perplexity is more than 0.4 % above the first one's.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import treadle
from treadle.evaluation import negative_log_likelihood


def main() -> int:
    """Measure each bundle; print one line for each, or one document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--at-most", type=float, default=math.inf)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    arguments = parser.parse_args()
    rows: list[dict[str, float | str]] = []
    first = rise = math.nan
    for path in arguments.bundles:
        with treadle.load(path, unknown="symbol") as model:
            nats = negative_log_likelihood(model, split="test", limit=arguments.limit)
        first = nats if math.isnan(first) else first
        rise = math.expm1(nats - first)
        rows.append({"bundle": path.name, "perplexity": math.exp(nats), "rise": rise})
        if not arguments.json:
            print(f"{path.name}: perplexity {math.exp(nats):.4f}, {rise:+.2%}")
    if arguments.json:
        print(json.dumps(rows))
    return 1 if rise > arguments.at_most else 0


if __name__ == "__main__":
    sys.exit(main())
