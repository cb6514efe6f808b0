from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from treadle.errors import ExportError
from treadle_export.sources.factory import load_factory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = """
import torch
from torch import nn

import beside

def factory():
    return nn.GRU(beside.WIDTH, 4), torch.zeros(1, 1, beside.WIDTH)

def named():
    return nn.GRU(3, 4), {"input": torch.zeros(1, 1, 3)}

def alone():
    return nn.GRU(3, 4)

def swapped():
    return torch.zeros(1), nn.GRU(3, 4)

def broken():
    raise KeyError("no weights")

def leaving():
    raise SystemExit(3)

ready = nn.GRU(3, 4)
number = 3
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a package of the user's own, and the process in it."""
    package = tmp_path / "their_models"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "small.py").write_text(SOURCE)
    (package / "needy.py").write_text("import no_such_dependency\n")
    (package / "wrong.py").write_text("import torch\ntorch.nn.GRU(-1, -1)\n")
    (tmp_path / "beside.py").write_text("WIDTH = 3\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(("their_models", "beside"))]:
        del sys.modules[name]


def test_a_factory_in_the_working_directory(project: Path) -> None:
    before = list(sys.path)
    module, example = load_factory("their_models.small:factory")
    assert isinstance(module, nn.GRU)
    assert isinstance(example, torch.Tensor)
    assert example.shape == (1, 1, 3)
    assert sys.path == before
    assert load_factory("their_models.small:named")[1].keys() == {"input"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("their_models.small", r"expected package\.module:factory, got 'their_models\.small'"),
        (":factory", r"expected package\.module:factory, got ':factory'"),
        ("their_models.small:a b", r"expected package\.module:factory"),
        ("no_models:factory", r"got no module 'no_models' in .*; run from the directory"),
        ("their_models.none:factory", r"got no module 'their_models\.none' in "),
        ("their_models.needy:factory", r"it imports 'no_such_dependency', which is not there"),
        ("their_models.wrong:factory", r"to be importable, got \w+: .+"),
        ("their_models.small:missing", r"expected a function 'missing' in their_models\.small"),
        ("their_models.small:number", r"to be a function .* got int; wrap it in a function"),
        ("their_models.small:ready", r"to be a function .* got GRU; wrap it in a function"),
        ("their_models.small:alone", r"to return \(module, example_inputs\), .* got GRU$"),
        ("their_models.small:swapped", r"that its forward takes, got \(Tensor, GRU\)$"),
        ("their_models.small:broken", r"to return .*, got KeyError: 'no weights'"),
        ("their_models.small:leaving", r"to return .*, got SystemExit: 3"),
    ],
)
def test_a_wrong_entry_is_refused_in_words(project: Path, entry: str, words: str) -> None:
    before = list(sys.path)
    with pytest.raises(ExportError, match=words):
        load_factory(entry)
    assert sys.path == before


def _trained() -> dict[str, torch.Tensor]:
    return {key: torch.randn(one.shape) for key, one in nn.GRU(3, 4).state_dict().items()}


@pytest.mark.parametrize("form", ["weights.safetensors", "weights.pt", "wrapped.ckpt"])
def test_a_checkpoint_of_each_form_is_loaded(project: Path, form: str) -> None:
    state, path = _trained(), project / form
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if path.suffix == ".ckpt" else state, path)
    module, _ = load_factory("their_models.small:factory", path)
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[key])


def _missing(state: dict[str, torch.Tensor]) -> Any:
    return {key: tensor for key, tensor in state.items() if key.startswith("weight")}


def _renamed(state: dict[str, torch.Tensor]) -> Any:
    return {f"model.{key}": tensor for key, tensor in state.items()} | {"extra": torch.zeros(1)}


def _reshaped(state: dict[str, torch.Tensor]) -> Any:
    return state | {"weight_ih_l0": torch.zeros(3, 12)}


class Code:
    """Something whose unpickling runs code."""

    def __reduce__(self) -> Any:
        return print, ("this must never be printed",)


CHECKPOINTS: dict[str, tuple[Any, str]] = {
    "missing": (_missing, r"got 2 missing \(bias_hh_l0, bias_ih_l0\) and none unexpected"),
    "renamed": (_renamed, r"got 4 missing \(.*\) and 5 unexpected \(extra, .*, …\)"),
    "reshaped": (_reshaped, r"'weight_ih_l0' in .* the shape \[12, 3\], got \[3, 12\]"),
    "code": (lambda _: {"x": Code()}, r"hold tensors only, got a pickle that holds more"),
    "list": (lambda state: list(state.values()), r"to hold a state dict, got list"),
    "numbers": (lambda state: dict.fromkeys(state, 3), r"the shape \[12, 3\], got \[\]"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_that_does_not_fit_is_refused(
    project: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = CHECKPOINTS[name]
    path = project / "weights.pt"
    torch.save(change(_trained()), path)
    with pytest.raises(ExportError, match=words):
        load_factory("their_models.small:factory", path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_of_something_else_is_refused(project: Path, suffix: str) -> None:
    path = project / f"weights{suffix}"
    with pytest.raises(ExportError, match=r"expected a checkpoint at .*, got no file there"):
        load_factory("their_models.small:factory", path)
    path.write_bytes(b"not weights at all")
    with pytest.raises(ExportError, match=r"expected .*weights.* to "):
        load_factory("their_models.small:factory", path)
