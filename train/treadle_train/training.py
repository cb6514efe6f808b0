"""Train a recipe into a run directory; stop and resume at any step."""

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy

from treadle.data import open_dataset
from treadle.errors import RecipeError
from treadle_train.callbacks.averager import Averager
from treadle_train.callbacks.keeper import Interrupted, Keeper
from treadle_train.callbacks.progress import Progress, progress_callbacks
from treadle_train.callbacks.recorder import Recorder
from treadle_train.callbacks.rounder import Rounder
from treadle_train.checkpoint import read_checkpoint
from treadle_train.embeddings.word_vectors import WordVectors
from treadle_train.fine_tuning import FineTuning
from treadle_train.mixed_precision import precision_plugin, usable_precision
from treadle_train.modules.base import TaskModule
from treadle_train.processes.accelerators import check_accelerator
from treadle_train.processes.group import (
    BACKENDS,
    Group,
    joined,
    process_count,
    started_outside,
)
from treadle_train.processes.launching import node_rank, run_in_processes
from treadle_train.processes.shares import Shares, divided
from treadle_train.recipe import Recipe, recipe_from_table, recipe_to_table
from treadle_train.report import write_report
from treadle_train.run import (
    RUN,
    Run,
    begin_run,
    load_run,
    read_run,
    write_run,
    write_vocabularies,
)
from treadle_train.sections.training import PrecisionName, TrainingSection
from treadle_train.tasks import Task, open_task


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    fine_tuning: FineTuning | None = None,
    progress: Progress = "auto",
) -> Run:
    """Train `recipe` into the directory `out` and return the run, with its best weights.

    resume goes on from the last checkpoint; the weights at the end are, on CPU and with as many
    threads, the same to the bit as without the interruption. force replaces what is at `out`.
    fine_tuning rounds the weights in every forward pass, and may start from another run's.
    Ctrl-C writes a checkpoint and raises KeyboardInterrupt.

    More than one process (`training.devices`, `training.num_nodes`) is started here, unless
    torchrun has started this one; all of them need to see `out`, and each returns the run.

    Raises RecipeError when `out` is in the way, holds another recipe's run, or does not fit the
    run to start from, or when the processes are not as the recipe says; DataError; DeviceError
    where the accelerator is none; TrainingError when a loss, a gradient or a figure is not finite,
    or a process ends before its time, with what was written before left as it is.
    """
    path = Path(out)
    check_accelerator(recipe, quantized=fine_tuning is not None)
    work = recipe, path, resume, force, fine_tuning, progress
    if process_count(recipe.training) > 1 and not started_outside():
        if node_rank(recipe.training) == 0:
            _prepare(*work[:-1])
        run_in_processes(recipe.training, _train_here, *work)
        if not read_run(path)["finished"]:  # one of them was interrupted, and so all were
            raise KeyboardInterrupt
        return load_run(path)
    with joined(recipe) as group:
        return _train_in(group, *work)


def _train_here(recipe: Recipe, *work: Any) -> None:
    """The work of a process that was started for it."""
    with joined(recipe) as group:
        _train_in(group, recipe, *work)


def _prepare(
    recipe: Recipe, path: Path, resume: bool, force: bool, fine_tuning: FineTuning | None
) -> dict[str, Any] | None:
    """Make way for the run, and say how its weights are quantized, if they are."""
    quantization = None
    if fine_tuning is not None:
        fine_tuning.check(recipe, path)
        quantization = fine_tuning.to_json(recipe)
    asked = {**recipe_to_table(recipe), "quantization": quantization}
    _make_way(path, asked, resume=resume, force=force)
    return quantization


def _train_in(
    group: Group,
    recipe: Recipe,
    path: Path,
    resume: bool,
    force: bool,
    fine_tuning: FineTuning | None,
    progress: Progress,
) -> Run:
    """Train as one process of the group; the first one writes."""
    if not group.first:
        progress = "none"
    quantization = group.from_first(lambda: _prepare(recipe, path, resume, force, fine_tuning))
    dataset = open_dataset(recipe.data.name, recipe.data.options)
    task = open_task(recipe, dataset)
    with _torch_settings(recipe):
        module = task.new_module()
        module.group = group
        document = begin_run(
            recipe, dataset, torch.get_num_threads(), usable_precision(recipe.training)
        )
        document["processes"] = group.count
        if fine_tuning is not None:
            fine_tuning.begin(module, task.vocabularies)
            document["quantization"] = quantization
        if task.left_out:
            document["left_out"] = task.left_out
            if progress != "none":
                print(f"left out: {task.left_out} training examples", file=sys.stderr, flush=True)
        reports = {"bucketing": task.bucketing_report(), "vectors": task.vectors}
        for name, report in reports.items():
            if report is not None:
                document[name] = report.to_json()
                if progress != "none":
                    print(report, file=sys.stderr, flush=True)
        if task.vectors is not None:
            _check_same_vectors(path, task.vectors)
        _fit(path, task, module, document, progress)
        group.wait()
        run = load_run(path)
        if group.first:
            write_report(run, dataset.split("validation"), list(reports.values()))
    return run


def _make_way(path: Path, asked: dict[str, Any], *, resume: bool, force: bool) -> None:
    """Leave at `path` what the training may start from: nothing, or a run of the same recipe.

    asked: the recipe as a table, with what is quantized.
    """
    if resume and (path / RUN).exists():
        document = read_run(path)
        started = recipe_to_table(recipe_from_table(document["recipe"]))  # with later keys, too
        before = {**started, "quantization": document.get("quantization")}
        changed = [said for said in _differences(before, asked) if not said.startswith(_PLACES)]
        if changed:
            raise RecipeError(
                f"The run {path} was started with another recipe: {'; '.join(changed)}. Resume it "
                "with the same recipe and the same --set, --quantize and --from, or train into "
                "another directory."
            )
        return
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not force:
        raise RecipeError(
            f"{path} is in the way; continue it with --resume, replace it with --force, or choose "
            "another directory."
        )
    if not (path / RUN).exists():
        raise RecipeError(f"{path} is no run, so --force does not replace it; remove it yourself.")
    shutil.rmtree(path)


_PLACES = tuple(f"training.{key} " for key in ("accelerator", "devices", "num_nodes", "strategy"))
"""Where a training runs, which may change when it is resumed."""


def _check_same_vectors(path: Path, vectors: WordVectors) -> None:
    """Raise RecipeError where a run to resume at `path` began with another file of vectors."""
    before = read_run(path).get("vectors") if (path / RUN).exists() else None
    if before is not None and before["sha256"] != vectors.sha256:
        raise RecipeError(
            f"The run {path} began with vectors of sha256 {before['sha256']}, but {vectors.name} "
            f"now has {vectors.sha256}; get that file back, or train into another directory."
        )


def _differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} was {old!r}, is {new!r}")
    return found


@contextmanager
def _torch_settings(recipe: Recipe) -> Iterator[None]:
    """The recipe's threads and seed, inside; the caller's own afterwards. Lightning is quiet.

    Numbers too small for float32's normal range become zero: gradients that have vanished reach
    it after some epochs, and a CPU takes many times longer over each of them.
    """
    threads, log = torch.get_num_threads(), logging.getLogger("lightning.pytorch")
    level = log.level
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        log.setLevel(logging.ERROR)
        share = max(1, _cores() // recipe.training.devices)
        torch.set_num_threads(recipe.training.threads or share)
        torch.manual_seed(recipe.training.seed)
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(threads)
            log.setLevel(level)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # what this process may use, on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _fit(
    path: Path,
    task: Task,
    module: TaskModule[Any],
    document: dict[str, Any],
    progress: Progress,
) -> None:
    section, group = module.section, module.group
    path.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(path, document, section.patience)
    keeper = Keeper(
        path / "checkpoint", module, recorder, section.checkpoint_steps, task.steps_per_epoch()
    )
    checkpoint = group.from_first(lambda: read_checkpoint(path / "checkpoint"))
    if checkpoint is not None:
        keeper.restore(checkpoint)
        if progress != "none":
            _name_other_processes(checkpoint.document.get("processes", 1), group.count)
    elif group.first:
        write_vocabularies(path, task.vocabularies)
        write_run(path, document)
    if module.position.epoch < section.epochs and not recorder.exhausted:
        extra = progress_callbacks(progress, recorder, section.epochs)
        rounder = [] if module.rounding is None else [Rounder(module, module.rounding)]
        averager = [] if module.average is None else [Averager(module.average)]
        callbacks = [*rounder, *averager, recorder, keeper, *extra]
        trainer = _trainer(section, document["precision"], module, callbacks)
        try:
            trainer.fit(module, datamodule=_Batches(task, module))
        except Interrupted as interruption:
            raise KeyboardInterrupt from interruption
    if group.first:
        ended = {"history": recorder.history, "best": recorder.best, "finished": True}
        write_run(path, document | ended)


def _name_other_processes(before: int, now: int) -> None:
    if before != now:
        print(
            f"This training began in {before} process{'es' * (before > 1)} and goes on in {now}: "
            "it is as good, and its weights are not to the bit those that it would have had.",
            file=sys.stderr,
            flush=True,
        )


def _trainer(
    section: TrainingSection,
    precision: PrecisionName,
    module: TaskModule[Any],
    callbacks: list[lightning.Callback],
) -> lightning.Trainer:
    """A trainer that starts at the module's epoch and asks for new batches in each."""
    together = module.group.count > 1
    backend = BACKENDS[section.accelerator]
    trainer = lightning.Trainer(
        accelerator=section.accelerator,
        devices=section.devices,
        num_nodes=section.num_nodes,
        strategy=DDPStrategy(process_group_backend=backend) if together else "auto",
        max_epochs=section.epochs,
        accumulate_grad_batches=section.accumulate,
        plugins=[
            precision_plugin(precision, section.accelerator),
            *([TorchElasticEnvironment()] if together else []),
        ],
        callbacks=callbacks,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=any(
            isinstance(c, lightning.pytorch.callbacks.ProgressBar) for c in callbacks
        ),
    )
    progress = trainer.fit_loop.epoch_progress.current
    progress.completed = module.position.epoch
    progress.processed = module.position.epoch  # type: ignore[attr-defined] # it has one
    return trainer


class _Batches(lightning.LightningDataModule):
    """Gives Lightning the batches of the epoch at hand, from the position on."""

    def __init__(self, task: Task, module: TaskModule[Any]) -> None:
        super().__init__()
        self.task, self.module = task, module
        batches, group = task.validation_batches(), module.group
        if group.count > 1 and module.validation_lists is not None:
            shares = divided(batches, group)
            module.shares_validation = shares is not None
            batches = batches if shares is None else shares
        self.validation = _Sized(batches)

    def train_dataloader(self) -> Any:
        position, group = self.module.position, self.module.group
        batches = self.task.train_batches(position.epoch, position.batch)
        return batches if group.count == 1 else Shares(batches, group)

    def val_dataloader(self) -> Any:
        return self.validation


class _Sized:
    """One source of batches: Lightning takes a list for several sources."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)
