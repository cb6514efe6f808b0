"""Make tiny bundles the way a user does: `treadle train`, then `treadle export`, in seconds.

usage: make_bundles.py DIRECTORY

The models are barely trained: good enough to be exported, verified and evaluated, not to be right.
DIRECTORY gets one bundle for each recipe and precision, named as `make demo` names them, and
`data`, a folder to point TREADLE_DATA at where the data packages are missing. The text of the
character model is the project's licence: long enough for a trace, short enough for seconds.
"""

import shutil
import sys
from pathlib import Path

from treadle.cli import run
from treadle.data.registry import CMUDICT, locate

# One thread: a busy machine slows several down more than they gain on so small a model.
SMALL = ["training.epochs=1", "training.threads=1"]
RECIPES = {
    "pronounce-en": [
        *("network.embedding_size=8", "network.hidden_size=16", "network.encoder_layers=1"),
        *("batching.batch_size=4096", "training.validation_limit=20"),
    ],
    "characters": [
        *("network.embedding_size=16", "network.hidden_size=32"),
        *("batching.batch_size=4", "batching.steps=64"),
    ],
}
TEXT = Path(__file__).resolve().parents[2] / "LICENSE"
PRECISIONS = ("float32", "int8")


def command(*arguments: str) -> None:
    """Run one command of treadle; its failure ends this script."""
    print("treadle", *arguments, flush=True)
    if code := run(arguments):
        sys.exit(code)


def main() -> None:
    """Train each recipe small, export it in each precision, copy the data."""
    directory = Path(sys.argv[1])
    runs, data = directory / "runs", directory / "data"
    data.mkdir(parents=True)
    text = shutil.copy(TEXT, data / "text.txt")
    for name, changes in RECIPES.items():
        data_set = [f"data.options.path={text}"] if name == "characters" else []
        settings = [part for change in SMALL + changes + data_set for part in ("--set", change)]
        command("train", name, "--out", str(runs / name), *settings)
        for precision in PRECISIONS:
            bundle = directory / f"{name}-{precision}.treadle"
            command("export", str(runs / name), "--out", str(bundle), "--precision", precision)
    shutil.rmtree(runs)
    dictionary = data / CMUDICT.folder / CMUDICT.file
    dictionary.parent.mkdir()
    shutil.copy(locate(CMUDICT), dictionary)


if __name__ == "__main__":
    main()
