"""Who answers the parts of a plan: this process, or the actors of a Ray cluster."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from treadle.errors import InputError, TreadleError
from treadle.scoring.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from treadle.scoring.worker import Work

    Engine = Callable[[Work, Sequence[int], int], Iterator[int]]

_BLOCKS_A_WORKER = 64
"""Blocks are what an actor takes at a time, and takes again after another has died."""


def answer_here(work: Work, parts: Sequence[int], workers: int) -> Iterator[int]:
    """Answer the parts one after another; each one's number when it is written."""
    if workers != 1:
        raise InputError(f"the engine local has one worker, got {workers}; use the engine ray")
    worker = Worker(work)
    try:
        for part in parts:
            yield worker.answer(part)
    finally:
        worker.model.close()


def answer_with_ray(work: Work, parts: Sequence[int], workers: int) -> Iterator[int]:
    """The same by so many actors of Ray Data, each with the model open; in any order.

    Uses the cluster that this process or RAY_ADDRESS is connected to, else one on this machine. An
    actor that dies is replaced, and what it had taken is taken again; parts that it had written are
    not answered twice. Raises TreadleError where Ray is not installed or gives up.
    """
    try:
        import ray
    except ImportError as error:
        raise TreadleError(
            "the engine ray needs the package ray, which is not installed: "
            "pip install 'treadle[ray]'"
        ) from error
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(log_to_driver=False, logging_level=logging.WARNING, include_dashboard=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise TreadleError(
                f"cannot connect to a Ray cluster: {error}; look at RAY_ADDRESS and, where the "
                "cluster asks for a token, at RAY_AUTH_TOKEN"
            ) from error
    progress = ray.data.DataContext.get_current()
    shown, progress.enable_progress_bars = progress.enable_progress_bars, False
    try:
        blocks = min(len(parts), _BLOCKS_A_WORKER * workers)
        done = ray.data.from_items(list(parts), override_num_blocks=blocks).map_batches(
            _Actor,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=work.threads or 1,
            fn_constructor_args=(work,),
        )
        for row in done.iter_rows():
            if row["error"]:
                raise TreadleError(row["error"])
            yield int(row["item"])
    except ray.exceptions.RayError as error:
        raise TreadleError(f"Ray gave up: {error}") from error
    finally:
        progress.enable_progress_bars = shown
        if started:
            ray.shutdown()


class _Actor:
    """A worker as Ray Data calls one: with batches, here of one part.

    It opens the model with its first part, and says what fails as a result: of an exception Ray
    would keep the words of its own, and one in a constructor it tries again and again.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._worker: Worker | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        error = ""
        try:
            self._worker = self._worker or Worker(self._work)
            for part in batch["item"]:
                self._worker.answer(int(part))
        except TreadleError as caught:
            error = str(caught)
        return {**batch, "error": [error] * len(batch["item"])}


ENGINES: dict[str, Engine] = {"local": answer_here, "ray": answer_with_ray}
