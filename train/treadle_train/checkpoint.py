"""Checkpoints to resume from: tensors in safetensors, everything else in JSON, never pickle.

    checkpoint/latest.json               names the tensor file and its digest; renamed last
    checkpoint/step-00000200.safetensors

A crash at any moment leaves the checkpoint before or this one, whole.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from treadle.errors import DataError
from treadle.files import write_atomically
from treadle_train.files import write_json

FORMAT = "treadle-checkpoint/1"
LATEST = "latest.json"


@dataclass(frozen=True)
class Checkpoint:
    """Groups of named tensors, and a JSON document."""

    tensors: dict[str, dict[str, Tensor]]
    document: dict[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint, step: int) -> None:
    """Write a checkpoint into `folder` and remove the one before. Raises OSError."""
    folder.mkdir(exist_ok=True)
    flat = {
        f"{group}/{name}": tensor.detach().contiguous()
        for group, tensors in checkpoint.tensors.items()
        for name, tensor in tensors.items()
    }
    content = save(flat)
    name = f"step-{step:08d}.safetensors"
    write_atomically(folder / name, content)
    entry = {"format": FORMAT, "tensors": name, "sha256": hashlib.sha256(content).hexdigest()}
    write_json(folder / LATEST, entry | {"state": checkpoint.document})
    for old in folder.iterdir():
        if old.name not in (name, LATEST):
            old.unlink()


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The latest checkpoint, or None where there is none yet. Raises DataError when damaged."""
    try:
        entry = json.loads((folder / LATEST).read_text(encoding="utf-8"))
        if entry["format"] != FORMAT:
            raise DataError(
                f"The checkpoint {folder / LATEST} has the format {entry['format']!r}, expected "
                f"{FORMAT!r}: it was written by another version of treadle; resume with that one."
            )
        content = (folder / entry["tensors"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ValueError(f"{entry['tensors']} is not the file that was written")
        tensors: dict[str, dict[str, Tensor]] = {}
        for name, tensor in load(content).items():
            group, _, rest = name.partition("/")
            tensors.setdefault(group, {})[rest] = tensor
        return Checkpoint(tensors, entry["state"])
    except FileNotFoundError as error:
        if Path(error.filename).name == LATEST:
            return None
        raise DataError(_damaged(folder, error)) from error
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(_damaged(folder, error)) from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors by "<parameter>.<name>"."""
    state = optimizer.state_dict()["state"]
    return {
        f"{parameter}.{name}": value
        for parameter, values in state.items()
        for name, value in values.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Put back what `optimizer_tensors` and the state dict's "param_groups" gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, _, name = key.partition(".")
        state.setdefault(int(parameter), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _damaged(folder: Path, error: Exception) -> str:
    return (
        f"The checkpoint in {folder} is damaged ({error}); train again with --force, which starts "
        "from the beginning."
    )
