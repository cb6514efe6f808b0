"""Watch many sensors at once: what comes next, and how surprising is what came?

usage: monitor.py BUNDLE --state FILE [--streams N] [--every FRAMES]

BUNDLE is a forecaster. Lines of standard input are frames of any number of streams, the times of
each rising: {"stream": "pump-3", "time": 1772373600, "values": [30.5]}. Each is answered by a line:
`score` is how far the value is from the median that was expected, 1 at the outermost quantile, and
`forecast` has the quantiles of each horizon. A frame that is not finite (null, NaN) is missing, and
its stream waits. A line that makes no sense is reported and left out.

FILE keeps the state of all streams, whole at any moment. After a restart send the lines again from
any place before its end: those that FILE knows are skipped, the others answered to the same bit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import treadle
from treadle.errors import StateError
from treadle.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass
class Watched:
    """A stream: its member of the pool, when it last spoke, how often, and what it expects."""

    member: Any
    time: float = -np.inf
    frames: int = 0
    expected: tuple[float, ...] = ()


class Monitor:
    """All streams of one model, in one pool; their state goes to a file every so many frames."""

    def __init__(self, model: Any, state: Path, streams: int, every: int) -> None:
        self.model, self.state, self.every, self.unsaved = model, state, every, 0
        # Rows of int8 are the same in any company; others are computed one by one.
        alike = model.manifest.precision in ("int8", "int8-block")
        self.pool = model.pool(streams, exact=not alike)
        self.watched: dict[str, Watched] = {}
        if state.exists():
            for name, (snapshot, *rest) in json.loads(state.read_bytes()).items():
                member = self.pool.join(treadle.Snapshot.from_bytes(bytes.fromhex(snapshot)))
                self.watched[name] = Watched(member, *rest)

    def save(self) -> None:
        """Write the state of all streams."""
        kept = {}
        for name, one in self.watched.items():
            snapshot = one.member.snapshot().to_bytes().hex()
            kept[name] = (snapshot, one.time, one.frames, one.expected)
        write_atomically(self.state, json.dumps(kept).encode())
        self.unsaved = 0

    def run(self) -> None:
        """Answer lines until there are no more; those that have arrived are read together."""
        rest, content = b"", b"\n"
        while content:
            content = os.read(sys.stdin.fileno(), 1 << 16)
            *lines, rest = (rest + (content or b"\n")).split(b"\n")
            for answer in self.answers(line for line in lines if line.strip()):
                print(json.dumps(answer))
                self.unsaved += 1
            sys.stdout.flush()
            if self.unsaved >= self.every or not content:
                self.save()  # after the answers are out, so that none is ever lost

    def answers(self, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        """The answers in their order; lines that make no sense or came before have none."""
        together: dict[str, tuple[float, Any]] = {}
        for line in lines:
            try:
                name, time, values = self.parsed(line)
            except (LookupError, TypeError, ValueError, ArithmeticError, StateError) as error:
                print(f"left out {line[:80]!r}: {error!r}", file=sys.stderr, flush=True)
                continue
            if name in together:  # a pool's step takes each member once
                yield from self.stepped(together)
                together = {}
            if time > self.watched[name].time:
                together[name] = time, values
        yield from self.stepped(together)

    def parsed(self, line: bytes) -> tuple[str, float, Any]:
        """Name, time and values in a line. What is wrong with it is one of many errors."""
        said = json.loads(line)
        name, time, values = str(said["stream"]), float(said["time"]), np.array(said["values"], "f")
        if not np.isfinite(time) or values.shape != (len(self.model.channels),):
            raise ValueError(f"expected a finite time, and values of {self.model.channels}")
        if name not in self.watched:
            self.watched[name] = Watched(self.pool.join())
        return name, time, values

    def stepped(self, frames: dict[str, tuple[float, Any]]) -> Iterator[dict[str, Any]]:
        """The answers to one frame of each stream: one engine call for all that are not missing."""
        there = {name: x for name, (_, x) in frames.items() if np.isfinite(x).all()}
        outputs = self.pool.step({self.watched[name].member: x for name, x in there.items()})
        for name, (time, x) in frames.items():
            one, score, forecast = self.watched[name], None, None
            one.time = time
            if name in there:
                one.frames += 1
                score = self.score(one.expected, x) if one.expected else None
                if one.frames >= self.model.season:  # until then it has seen too little
                    [made] = self.model.forecasts(outputs[one.member][None])
                    one.expected = made.values[0].tolist()
                    forecast = {h: made.values[h - 1].tolist() for h in made.horizons}
            yield {"stream": name, "time": time, "score": score, "forecast": forecast}

    def score(self, expected: tuple[float, ...], values: Any) -> float:
        """How surprising: 1 at the outermost quantile; with a mean alone, 1 a deviation away."""
        value = float(values[self.model.channels.index(self.model.target)])
        median = expected[len(expected) // 2]
        edge = expected[-1 if value > median else 0]
        return abs(value - median) / (abs(edge - median) or self.model.deviation)


def main() -> None:
    """Answer until the input ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--state", type=Path, required=True, help="file that keeps all states")
    parser.add_argument("--streams", type=int, default=1000, help="how many there may be")
    parser.add_argument("--every", type=int, default=1000, help="frames between two savings")
    asked = parser.parse_args()
    with treadle.load(asked.bundle) as model:
        Monitor(model, asked.state, asked.streams, asked.every).run()


if __name__ == "__main__":
    main()
