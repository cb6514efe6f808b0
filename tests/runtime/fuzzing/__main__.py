"""Runs cases in this process: python -m tests.runtime.fuzzing FIRST [COUNT] [--keep DIRECTORY].

Prints a line when a case begins and one when it ends, so that whoever reads them knows which one
ended the process. A case that takes too long ends it too, with the stack of its threads.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import sys
import tempfile
import traceback
from pathlib import Path

import onnxruntime

from tests.memory import limit_growth, resident_bytes
from tests.runtime.fuzzing.case import damaged, open_and_run, write
from tests.runtime.fuzzing.sound import Files, sound_bundles

SECONDS = 30
"""That a case may take; a hundred times what it does take, for a machine that is busy."""
LARGEST_ALLOCATION = 1 << 30
LARGEST_GROWTH = 200 << 20
"""Of resident memory, over all cases of one process."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.runtime.fuzzing")
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int, nargs="?", default=1)
    parser.add_argument("--keep", type=Path, help="leave the last bundle in this directory")
    asked = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    sound = sound_bundles()
    for kind, files in sound.items():  # so that all that is made once is made
        if (outcome := one_case(files, asked.keep)) != "answered":
            raise RuntimeError(f"the bundle {kind}, before any damage, ended in {outcome!r}")
    limit_growth(LARGEST_ALLOCATION)
    gc.collect()
    gc.freeze()  # what is there stays; looking through it took most of the time of a case
    before = resident_bytes()
    for seed in range(asked.first, asked.first + asked.count):
        print("begin", seed, flush=True)
        outcome = one_case(damaged(seed, sound), asked.keep)
        gc.collect()
        if (grown := resident_bytes() - before) > LARGEST_GROWTH:
            outcome = f"fault: {grown >> 20} MiB more resident memory than before"
            before = resident_bytes()
        print("end", seed, outcome, flush=True)


def one_case(files: Files, keep: Path | None) -> str:
    """The outcome in one line; an exception outside of the tree goes to stderr too."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            directory = keep or Path(scratch)
            directory.mkdir(exist_ok=True)
            write(files, directory)
            return open_and_run(directory)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        traceback.print_exc(file=sys.stderr)
        return f"fault: {type(error).__name__}: {str(error)[:200]}".replace("\n", " ")
    finally:
        faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    faulthandler.enable()
    main()
