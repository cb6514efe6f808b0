"""A graph damaged by someone who then made every digest fit: an error or an answer, no crash."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np

import treadle
from tests.runtime.tiny_bundles import reseal, write_language_model

FLIPS = 60


def load_damaged(directory: Path, seed: int) -> int:
    """Flip bits of the graphs, one bundle after the other; how many were refused."""
    bundle = write_language_model(directory)
    document = json.loads((bundle / "manifest.json").read_text())
    chance = random.Random(seed)
    refused = 0
    for _ in range(FLIPS):
        path = bundle / chance.choice(["step.onnx", "sequence.onnx"])
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        reseal(bundle, document)
        try:
            with treadle.load(bundle) as model:
                stream = model.stream()
                stream.step(np.array([1]))
                stream.unroll(np.array([[1, 2, 3]]))
        except treadle.TreadleError:
            refused += 1
        path.write_bytes(content)
    return refused


def test_a_forged_graph_is_an_error_or_an_answer(tmp_path: Path) -> None:
    # In a process of its own: what is feared is that it dies.
    made = subprocess.run(
        [sys.executable, "-m", "tests.runtime.test_hostile_bundle", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert made.returncode == 0, made.stderr
    assert 0 < int(made.stdout) < FLIPS


if __name__ == "__main__":
    print(load_damaged(Path(sys.argv[1]), seed=1))
