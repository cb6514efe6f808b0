"""Makes what all engines share for a workload: weights, reference, and files to convert from.

usage: python -m benchmarks.peers.preparing WORKLOAD CELL

Nothing is made anew that is there; `make clean` forgets it all.
"""

import sys

import torch

from benchmarks.peers.exports import write_exports
from benchmarks.peers.references import prepare
from benchmarks.peers.workloads import PREPARED, REFERENCE, WEIGHTS, WORKLOADS, folder_of, loaded


def main() -> int:
    """Prepare one workload with one cell."""
    torch.set_num_threads(1)
    workload, cell = WORKLOADS[sys.argv[1]], sys.argv[2]
    folder = folder_of(workload, cell)
    if not (folder / REFERENCE).exists():
        prepare(workload, cell)
    write_exports(workload, cell, loaded(folder / WEIGHTS), folder)
    (folder / PREPARED).touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
