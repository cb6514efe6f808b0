"""Loads the module to adopt: `package.module:factory`, and a checkpoint into it."""

import importlib
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from treadle.errors import ExportError
from treadle_export.torch_modules.calls import first_line
from treadle_export.torch_modules.source import Example

_NAMED = 4  # keys that a message names before it counts


def load_factory(entry: str, checkpoint: Path | None = None) -> tuple[nn.Module, Example]:
    """Calls a factory of the user's for a module and its example inputs.

    Args:
        entry: "package.module:factory", importable as it is or from the working directory. The
            factory takes nothing and returns (module, example inputs).
        checkpoint: the weights, as a state dict that `torch.save` wrote or as safetensors, by its
            suffix; also one inside {"state_dict": …}. Every key must fit. Nothing in it is run.

    Returns:
        the module with its weights, and the example: a tensor, a tuple or a dict.

    Raises:
        ExportError: the entry cannot be imported or called, returns something else, or the
            checkpoint does not fit.
    """
    with _importable_here():
        returned = _call(entry)
    module, example = _checked(entry, returned)
    if checkpoint is not None:
        _load(module, checkpoint)
    return module, example


@contextmanager
def _importable_here() -> Iterator[None]:
    """While it lasts, what lies in the working directory can be imported, before all else."""
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def _call(entry: str) -> Any:
    module_name, colon, attribute = entry.partition(":")
    if not colon or not module_name or not attribute.isidentifier():
        raise ExportError(
            f"expected package.module:factory, got {entry!r}; name a function after the colon"
        )
    imported = _imported(entry, module_name)
    if not hasattr(imported, attribute):
        raise ExportError(
            f"expected a function {attribute!r} in {module_name} ({imported.__file__}), got none; "
            f"write it there, or name another"
        )
    factory = getattr(imported, attribute)
    if isinstance(factory, nn.Module) or not callable(factory):
        raise ExportError(
            f"expected {entry} to be a function that returns (module, example_inputs), got "
            f"{type(factory).__name__}; wrap it in a function"
        )
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise ExportError(
            f"expected {entry} to return (module, example_inputs), got {first_line(error)}"
        ) from error


def _imported(entry: str, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ExportError(
                f"expected {entry} to be importable, got no module {error.name!r} in "
                f"{Path.cwd()} or among what is installed; run from the directory that holds it"
            ) from error
        raise ExportError(
            f"expected {entry} to be importable, got that it imports {error.name!r}, which is not "
            f"there; install it"
        ) from error
    except (Exception, SystemExit) as error:
        raise ExportError(f"expected {entry} to be importable, got {first_line(error)}") from error


def _checked(entry: str, returned: Any) -> tuple[nn.Module, Example]:
    if isinstance(returned, tuple) and len(returned) == 2:
        module, example = returned
        fits = isinstance(example, Tensor | tuple | Mapping)
        if isinstance(module, nn.Module) and fits:
            return module, example
        got = f"({type(module).__name__}, {type(example).__name__})"
    else:
        got = type(returned).__name__
    raise ExportError(
        f"expected {entry} to return (module, example_inputs), an nn.Module and the tensor, tuple "
        f"or dict that its forward takes, got {got}"
    )


def _load(module: nn.Module, path: Path) -> None:
    """Puts a checkpoint's weights into `module`, every key and shape as the module has it."""
    state = _state_dict(path)
    wanted = module.state_dict()
    if set(state) != set(wanted) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    missing, unexpected = set(wanted) - set(state), set(state) - set(wanted)
    if missing or unexpected:
        raise ExportError(
            f"expected {path} to hold the weights of {type(module).__name__}, got "
            f"{_listed('missing', missing)} and {_listed('unexpected', unexpected)}; save it with "
            f"torch.save(module.state_dict(), …) from the module that the factory makes"
        )
    for key, tensor in wanted.items():
        if not isinstance(state[key], Tensor) or state[key].shape != tensor.shape:
            raise ExportError(
                f"expected {key!r} in {path} to have the shape {list(tensor.shape)}, got "
                f"{list(getattr(state[key], 'shape', []))}; make the module of the same sizes"
            )
    module.load_state_dict(dict(state))


def _state_dict(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise ExportError(f"expected a checkpoint at {path}, got no file there")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ExportError(
            f"expected {path} to hold tensors only, got a pickle that holds more, whose code would "
            f"be run ({first_line(error)}); save torch.save(module.state_dict(), …) or safetensors"
        ) from error
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise ExportError(
            f"expected {path} to be a state dict that torch.save wrote, or safetensors, got "
            f"{first_line(error)}"
        ) from error
    if not isinstance(loaded, Mapping):
        raise ExportError(
            f"expected {path} to hold a state dict, got {type(loaded).__name__}; save "
            f"module.state_dict()"
        )
    return loaded


def _listed(what: str, keys: set[str]) -> str:
    """`2 missing (a, b)`; the first few by name."""
    if not keys:
        return f"none {what}"
    named = ", ".join(sorted(map(str, keys))[:_NAMED])
    return f"{len(keys)} {what} ({named}{', …' if len(keys) > _NAMED else ''})"
