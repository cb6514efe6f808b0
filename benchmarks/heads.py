"""What does a large vocabulary cost: a step with a screened head, and a prompt read to its end?

usage: python -m benchmarks.heads [--symbols V] [--size H] [--layers L] [--candidates N]
                                  [--prompt T] [--rounds R] [--float32-head] [--json [FILE]]

An LSTM language model in int8 (its head in float32 with --float32-head), batch 1, one thread, its
weights random: speed does not depend on them, and how often a screened head is right does, so that
is not measured here. Each figure is the least median over the rounds, in microseconds; the sides
take turns.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np

import treadle
from benchmarks.printing import add_json, put
from treadle.model import Model
from treadle.stopwatch import measure
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.canonical import CanonicalModel
from treadle_export.capturing.network import capture
from treadle_export.exporting.prompt_graph import PROMPT, with_prompt_graph
from treadle_export.passes.screen_head import Screen
from treadle_export.quantization.precision import lower, plan_of, precision_named
from treadle_train.networks import LanguageModel

INT8 = precision_named("int8")
Exact = Literal["int8", "float32"]


def written(
    path: Path, model: CanonicalModel, symbols: int, exact: Exact, screen: Screen | None
) -> Path:
    """A bundle of the model, without evidence, its head in `exact`."""
    names = tuple(map(chr, range(0xE000, 0xE000 + min(symbols, 0x1900)))) + tuple(
        map(chr, range(0x10000, 0x10000 + max(0, symbols - 0x1900)))
    )
    description = Description(
        path.stem, {"symbols": Vocabulary(names, "characters")}, {"start": 0}, {}, {}, {}
    )
    lowered = lower(model, INT8, exceptions={"output": exact}, screen=screen)
    parts = assemble(lowered, description, "int8", plan_of(model, INT8))
    write_bundle(path, finished(parts, {}))
    return path


def calls(whole: Model, screened: Model, steps: int) -> dict[str, Callable[[], object]]:
    """What is timed: one call each."""
    token, prompt = np.zeros(1, np.int64), np.zeros((1, steps), np.int64)
    one, other = whole.stream(), screened.stream()
    fed, unrolled = whole.stream(), whole.stream()
    return {
        "step, whole head": lambda: one.step(token, copy=False).argmax(),
        "step, screened head": lambda: other.step(token, copy=False).argmax(),
        f"feed of {steps}, graph prompt": lambda: fed.feed(prompt),
        f"unroll of {steps}, graph sequence": lambda: unrolled.unroll(prompt),
    }


def main() -> int:
    """Build the bundles, time the calls in turns, print one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--symbols", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--candidates", type=int, default=32)
    parser.add_argument("--prompt", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--float32-head", action="store_true", help="rescore in float32")
    add_json(parser)
    asked = parser.parse_args()
    network = LanguageModel(asked.symbols, asked.size, asked.size, asked.layers).eval()
    model = with_prompt_graph(capture(network))
    if PROMPT not in model.graphs:
        print("the head is too small for a graph of its own: more --symbols", file=sys.stderr)
        return 2
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        exact: Exact = "float32" if asked.float32_head else "int8"
        screens = {"whole": None, "screened": Screen("output", asked.candidates, exact)}
        paths = [
            written(Path(scratch) / f"{name}.treadle", model, asked.symbols, exact, screen)
            for name, screen in screens.items()
        ]
        whole, screened = (stack.enter_context(treadle.load(path)) for path in paths)
        for _ in range(asked.rounds):
            for name, call in calls(whole, screened, asked.prompt).items():
                took = measure(call, steps=20 if "of" in name else 200, warmup=3).p50_us
                best[name] = min(best.get(name, took), took)
    put(best, (f"{name:<36} {took:>10,.0f} us" for name, took in best.items()), asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
