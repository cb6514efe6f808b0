"""Starts the processes of a training on this machine, and says what became of them."""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from torch.multiprocessing.spawn import ProcessContext, ProcessException, spawn

from treadle.errors import RecipeError, TrainingError, TreadleError
from treadle_train.processes.group import process_count
from treadle_train.sections.training import TrainingSection

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

_MEETING = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


def node_rank(section: TrainingSection) -> int:
    """Which of the machines this is; 0 for the first.

    Raises RecipeError when there are several and the environment does not say.
    """
    missing = [name for name in _MEETING if name not in os.environ]
    if section.num_nodes > 1 and missing:
        raise RecipeError(
            f"training.num_nodes = {section.num_nodes} needs {', '.join(missing)} in the "
            "environment of each machine: where the first machine is found, a free port there, and "
            "this machine's number from 0; or start the training with torchrun, which sets them."
        )
    return int(os.environ["NODE_RANK"]) if section.num_nodes > 1 else 0


def run_in_processes(
    section: TrainingSection, function: Callable[..., Any], *arguments: Any
) -> None:
    """Call `function`, of a module, with `arguments` in `section.devices` new processes.

    They are started anew ("spawn"), so a script that trains needs its `if __name__ == "__main__"`.
    Ctrl-C is handed to each once, and KeyboardInterrupt raised when they have ended.

    Raises what the first one that failed has raised, when it is of the tree or an OSError; and
    TrainingError for one that was killed or failed otherwise.
    """
    failures: SimpleQueue[Any] = get_context("spawn").SimpleQueue()
    work = (_environment(section), section.devices, failures, function, arguments)
    interrupted = False
    context: ProcessContext = spawn(  # type: ignore[no-untyped-call]
        _work, work, nprocs=section.devices, join=False
    )
    while True:
        try:
            if context.join():
                break
        except KeyboardInterrupt:
            interrupted = True
            _interrupt(context)
        except ProcessException as error:
            if interrupted:
                break
            raise _failure(context, error, failures) from error
    if interrupted:
        raise KeyboardInterrupt


def _environment(section: TrainingSection) -> dict[str, str]:
    """What torchrun would tell the processes of this machine, but for their own numbers."""
    node = node_rank(section)
    if section.num_nodes == 1:
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    else:
        meeting = {name: os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT")}
    return {
        **meeting,
        "GROUP_RANK": str(node),
        "WORLD_SIZE": str(process_count(section)),
        "LOCAL_WORLD_SIZE": str(section.devices),
        "TORCHELASTIC_RUN_ID": "treadle",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _work(
    index: int,
    environment: Mapping[str, str],
    devices: int,
    failures: "SimpleQueue[Any]",
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """One of the processes, the `index`th of its machine."""
    if hasattr(os, "setsid"):
        os.setsid()  # a terminal's Ctrl-C comes by way of the parent: once, to all
    rank = int(environment["GROUP_RANK"]) * devices + index
    os.environ.update(environment, RANK=str(rank), LOCAL_RANK=str(index))
    try:
        function(*arguments)
    except (TreadleError, OSError) as error:
        failures.put(error)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - told to the parent, whole
        text = "".join(traceback.format_exception(error))
        failures.put(TrainingError(f"Process {index} has failed:\n{text}"))
        sys.exit(1)


def _interrupt(context: ProcessContext) -> None:
    for process in context.processes:
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)


def _failure(
    context: ProcessContext, error: ProcessException, failures: "SimpleQueue[Any]"
) -> Exception:
    """Why the processes, which have all ended, did."""
    codes = [process.exitcode for process in context.processes]
    ended = (-signal.SIGTERM, *range(3))  # of its own, or since another one had failed
    killed = {index: code for index, code in enumerate(codes) if code not in ended}
    name = getattr(error, "signal_name", None)
    if name is None and killed:
        name = _name(next(iter(killed.values())))
    if name is not None:
        index = next(iter(killed), error.error_index)
        return TrainingError(
            f"Process {index} of the {len(codes)} of this training was ended by {name}, and the "
            "others with it (SIGKILL is often the system's, when memory runs out). The last "
            "checkpoint is whole: --resume goes on from it."
        )
    if not failures.empty():
        failure: Exception = failures.get()
        return failure
    return TrainingError(
        f"Process {error.error_index} of the {len(codes)} of this training ended before it began "
        f"({error}). A script that trains with training.devices above 1 is read by each of them: "
        'what it does stands under `if __name__ == "__main__":`.'
    )


def _name(code: int) -> str:
    known = {int(number): number.name for number in signal.Signals}
    return known.get(-code, f"exit status {code}")
