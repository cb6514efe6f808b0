"""How long does a whole decode take in one call, beside the same search made step by step?

usage: python -m benchmarks.one_call [--precision P] [--rounds N] [--json [FILE]]

A pronunciation model of the demo's size with random weights (LSTM, 256, attention, 42 symbols),
from ids to ids, for one source of 8 letters and for 32, greedy and with a beam of 4; 8 symbols are
made, one thread. They take turns; a figure is the least median over the rounds, in µs.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import torch

import treadle
from benchmarks.printing import add_json, put
from treadle.stopwatch import measure
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.capturing.network import capture
from treadle_export.one_call.assembling import Searching, assembled
from treadle_export.one_call.beam_search import BeamSearch
from treadle_export.one_call.opening import opened
from treadle_export.one_call.row_search import RowSearch
from treadle_export.one_call.writing import answered, searched, session_of
from treadle_export.quantization.precision import lower, plan_of, precision_named
from treadle_train.networks import Transducer

if TYPE_CHECKING:
    from collections.abc import Callable

LETTERS, SOUNDS, SIZE, LONG = 32, 42, 256, 8
ROWS = (1, 32)
SEARCHES: dict[str, Searching] = {"greedy": RowSearch(), "beam of 4": BeamSearch(4)}
CALLS = 30


def written(precision: str, path: Path) -> Path:
    """A bundle without evidence. The end symbol is never likely, so that all make 8 symbols."""
    torch.manual_seed(0)
    network = Transducer(LETTERS, SOUNDS, 128, SIZE, 2, 1, "lstm", "general").eval()
    with torch.no_grad():
        network.output.bias[2] = -1e4
    model, chosen = capture(network), precision_named(precision)
    source = Vocabulary(["<padding>", *map(str, range(1, LETTERS))], "symbols", padding=0)
    target = Vocabulary(list(map(str, range(SOUNDS))), "symbols", start=1, end=2)
    decoding = {"start": 1, "end": 2, "max_length": 40}
    about = Description("one-call", {"input": source, "output": target}, decoding, {}, {}, {})
    parts = assemble(lower(model, chosen), about, precision, plan_of(model, chosen))
    write_bundle(path, finished(parts, {}))
    return path


def timed(precision: str, rounds: int) -> list[dict[str, Any]]:
    """One row for each search and number of sources."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        bundle = written(precision, Path(scratch) / "made.treadle")
        model, source = treadle.load(bundle), opened(bundle)
        for name, search in SEARCHES.items():
            content = ir.to_proto(assembled(opened(bundle), search)).SerializeToString()
            session = session_of(content)
            for count in ROWS:
                numbers = np.random.default_rng(0).integers(1, LETTERS, (count, LONG))
                sources = numbers.tolist()
                calls: dict[str, Callable[[], object]] = {
                    "stepping": partial(searched, model, source, search, sources, LONG),
                    "one_call": partial(answered, session, source, sources, LONG),
                }
                best = dict.fromkeys(calls, float("inf"))
                for _ in range(rounds):
                    for side, call in calls.items():
                        best[side] = min(best[side], measure(call, steps=CALLS, warmup=3).p50_us)
                ratio = best["one_call"] / best["stepping"]
                found.append({"search": name, "sources": count, **best, "ratio": ratio})
    return found


def main() -> int:
    """Time and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--rounds", type=int, default=5)
    add_json(parser)
    arguments = parser.parse_args()
    rows = timed(arguments.precision, arguments.rounds)
    lines = [
        f"{arguments.precision:12}{'sources':>8}{'stepping µs':>13}{'one call µs':>13}{'ratio':>7}"
    ]
    lines += [
        f"{row['search']:12}{row['sources']:8}{row['stepping']:13,.0f}{row['one_call']:13,.0f}"
        f"{row['ratio']:7.2f}"
        for row in rows
    ]
    put(rows, lines, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
