"""What does folding bring to an attention decoder: its step against the step of the textbook?

usage: python -m benchmarks.decoder [--cell lstm|gru] [--precision P …] [--source N]
                                    [--rounds N] [--json [FILE]]

Folded, as bundles are written: the embedding multiplied with its first weights is a table, and keys
and the context's half of the output mix are made once a source. Unfolded, as the textbook has it:
embedding, product, query times keys' weights, mix of state and context, all at every step. Both are
of one precision and one set of weights (H 512, 75 symbols), run by the same prebound stream at
batch 1 on one thread, in turns; the ratio is the median over the rounds.
"""

import argparse
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import treadle
from benchmarks.printing import add_json, put
from treadle.stopwatch import Latency, measure
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.capturing.network import capture
from treadle_export.quantization.precision import PRECISIONS, lower, precision_named
from treadle_train.cells.ragged import valid_positions
from treadle_train.networks import Transducer
from treadle_train.networks.attention import MASKED, GeneralAttention
from treadle_train.networks.network import Context

HIDDEN, EMBEDDING, SYMBOLS = 512, 512, 75
STEPS = 300


class TextbookAttention(GeneralAttention):
    """The same function with every product on the decoder's side."""

    def context(self, memory: Tensor, lengths: Tensor) -> Context:
        """The memory as it is."""
        valid = valid_positions(lengths, memory.shape[1])
        mask = torch.where(valid, 0.0, MASKED).to(memory.dtype)
        return {"keys": memory, "memory_mask": mask}

    def score(self, hidden: Tensor, keys: Tensor) -> Tensor:
        """Scores h · (W m) as (h W) · m."""
        return torch.matmul(torch.matmul(hidden, self.keys.weight), keys.transpose(1, 2))

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        """The mix over the weighted memory, multiplied after it is summed."""
        weights = torch.softmax(
            self.score(hidden, context["keys"]) + context["memory_mask"][:, None, :], dim=-1
        )
        summed = torch.matmul(weights, context["keys"])
        return torch.tanh(self.mix(hidden) + self.values(summed))


def networks(cell: str) -> dict[str, Transducer]:
    """The folded and the unfolded network, of the same weights."""
    torch.manual_seed(0)
    folded = Transducer(30, SYMBOLS, EMBEDDING, HIDDEN, 2, 1, cell, "general").eval()
    unfolded = Transducer(30, SYMBOLS, EMBEDDING, HIDDEN, 2, 1, cell, "general").eval()
    unfolded.attention = TextbookAttention(HIDDEN, HIDDEN)
    unfolded.load_state_dict(folded.state_dict())
    return {"folded": folded, "unfolded": unfolded.eval()}


def bundle_of(network: Transducer, precision: str, *, folded: bool, path: Path) -> Path:
    """A bundle without evidence."""
    chosen = replace(precision_named(precision), folded=folded)
    source = Vocabulary(["<padding>", *map(str, range(1, 30))], "symbols", padding=0)
    target = Vocabulary(list(map(str, range(SYMBOLS))), "symbols", start=1, end=2)
    vocabularies = {"input": source, "output": target}
    decoding = {"start": 1, "end": 2, "max_length": 40}
    about = Description("decoder", vocabularies, decoding, {}, {}, {})
    parts = assemble(lower(capture(network), chosen), about, precision, {})
    write_bundle(path, finished(parts, {}))
    return path


def timed(cell: str, precision: str, length: int, rounds: int) -> dict[str, Any]:
    """Both sides' least disturbed latency, their ratio, and how far their logits are apart."""
    source = [[1 + index % 29 for index in range(length)]]
    token = np.array([3])
    with tempfile.TemporaryDirectory() as scratch:
        streams = {}
        for name, network in networks(cell).items():
            path = Path(scratch) / f"{name}.treadle"
            bundle = bundle_of(network, precision, folded=name == "folded", path=path)
            streams[name] = treadle.load(bundle).stream(source)
        logits = {name: stream.step(token)[0] for name, stream in streams.items()}
        taken: dict[str, list[Latency]] = {name: [] for name in streams}
        for _ in range(rounds):
            for name, stream in streams.items():

                def step(stream: Any = stream) -> None:
                    token[0] = stream.step(token, copy=False)[0].argmax()

                taken[name].append(measure(step, steps=STEPS, warmup=20))
    sides = zip(taken["folded"], taken["unfolded"], strict=True)
    return {
        "cell": cell,
        "precision": precision,
        **{f"{name}_p50_us": min(t.p50_us for t in times) for name, times in taken.items()},
        **{f"{name}_p99_us": min(t.p99_us for t in times) for name, times in taken.items()},
        "ratio": statistics.median(a.p50_us / b.p50_us for a, b in sides),
        "logits_apart": float(np.abs(logits["folded"] - logits["unfolded"]).max()),
    }


def main() -> int:
    """Time and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cell", choices=("lstm", "gru"), default="lstm")
    parser.add_argument("--precision", action="append", choices=PRECISIONS, default=None)
    parser.add_argument("--source", type=int, default=25, help="symbols that are attended to")
    parser.add_argument("--rounds", type=int, default=9)
    add_json(parser)
    arguments = parser.parse_args()
    precisions = arguments.precision or ["int8", "int8-block", "int4", "int4-block"]
    rows = [timed(arguments.cell, p, arguments.source, arguments.rounds) for p in precisions]
    lines = [
        f"{arguments.cell}, H {HIDDEN}, {SYMBOLS} symbols, {arguments.source} attended to, 1 thread"
    ]
    lines += [
        f"{row['precision']:12} folded {row['folded_p50_us']:7.1f} µs (p99 "
        f"{row['folded_p99_us']:.1f}), unfolded {row['unfolded_p50_us']:7.1f} µs (p99 "
        f"{row['unfolded_p99_us']:.1f}), ratio {row['ratio']:.2f}, logits "
        f"{row['logits_apart']:.1e} apart"
        for row in rows
    ]
    put(rows, lines, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
