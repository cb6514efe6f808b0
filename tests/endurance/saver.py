"""A process that steps without end and saves every 100 steps: python -m … BUNDLE SNAPSHOT.

It goes on from the snapshot where there is one. Says "saved" and the step after each save.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import treadle
from tests.endurance.inputs import symbol

EVERY = 100


def main() -> None:
    bundle, path = sys.argv[1], Path(sys.argv[2])
    with treadle.load(bundle) as model:
        stream = model.resume(treadle.Snapshot.load(path)) if path.exists() else model.stream()
        step = int(stream.steps[0])
        while True:
            stream.step(np.array([symbol(0, step)]))
            step += 1
            if step % EVERY == 0:
                stream.snapshot().save(path)
                print("saved", step, flush=True)


if __name__ == "__main__":
    main()
