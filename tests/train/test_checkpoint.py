"""Checkpoints: what is written is read, the one before goes, and damage is an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from treadle.errors import DataError
from treadle_train import checkpoint as module
from treadle_train.checkpoint import (
    Checkpoint,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)

if TYPE_CHECKING:
    from pathlib import Path

ONE = Checkpoint({"network": {"a.b": torch.arange(6.0).reshape(2, 3).T}}, {"position": 1})
TWO = Checkpoint({"network": {"a.b": torch.ones(1)}}, {"position": 2, "exact": 0.1 + 0.2})


def test_the_latest_is_read_and_the_one_before_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    assert read_checkpoint(folder) is None
    write_checkpoint(folder, ONE, 1)
    found = read_checkpoint(folder)
    assert found is not None
    assert torch.equal(found.tensors["network"]["a.b"], ONE.tensors["network"]["a.b"])
    write_checkpoint(folder, TWO, 2)
    found = read_checkpoint(folder)
    assert found is not None
    assert found.document == TWO.document
    assert sorted(file.name for file in folder.iterdir()) == [
        "latest.json",
        "step-00000002.safetensors",
    ]


@pytest.mark.parametrize("fails_at", [0, 1])
def test_a_full_disk_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    write_checkpoint(tmp_path, ONE, 1)
    writers = ["write_atomically", "write_json"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, writers[fails_at], full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(tmp_path, TWO, 2)
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert found.document == ONE.document


def test_damage_is_an_error(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, ONE, 1)
    tensors, entry = tmp_path / "step-00000001.safetensors", tmp_path / "latest.json"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"is not the file that was written.*--force"):
        read_checkpoint(tmp_path)
    tensors.unlink()
    with pytest.raises(DataError, match="is damaged"):
        read_checkpoint(tmp_path)
    tensors.write_bytes(whole)
    document = json.loads(entry.read_text())
    entry.write_text(json.dumps(document | {"format": "treadle-checkpoint/2"}))
    with pytest.raises(DataError, match="written by another version of treadle"):
        read_checkpoint(tmp_path)
    entry.write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        read_checkpoint(tmp_path)


def test_an_optimizer_goes_on_as_it_was(tmp_path: Path) -> None:
    def advance(parameter: torch.Tensor, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            (parameter**2).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    optimizers = [torch.optim.Adam([p], 0.1, fused=True) for p in weights]
    advance(weights[0], optimizers[0], 5)
    kept = Checkpoint(
        {"optimizer": optimizer_tensors(optimizers[0]), "network": {"w": weights[0].data}},
        {"groups": optimizers[0].state_dict()["param_groups"]},
    )
    write_checkpoint(tmp_path, kept, 5)
    found = read_checkpoint(tmp_path)
    assert found is not None
    weights[1].data.copy_(found.tensors["network"]["w"])
    restore_optimizer(optimizers[1], found.tensors["optimizer"], found.document["groups"])
    for weight, optimizer in zip(weights, optimizers, strict=True):
        advance(weight, optimizer, 5)
    assert torch.equal(weights[0], weights[1])
