"""The runtime as one small file: a zip that Python imports from, for devices that have no pip.

What an application needs of the package and nothing else: no commands, no benchmarks, no
docstrings. numpy and onnxruntime are not in it.
"""

from __future__ import annotations

import ast
import zipfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import InputError
from treadle.files import whole_file

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

LEFT_OUT = frozenset(
    {"bench", "commands", "scoring", "web", "cli.py", "__main__.py", "slim.py", "__pycache__"}
)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip's earliest time: the same files give the same bytes


def write_runtime(out: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write the runtime as the zip `out`; where it is.

    With the zip on `sys.path` (or in PYTHONPATH) `import treadle` works as from the wheel. Raises
    InputError for something at `out` unless `force`, and when it cannot be written.
    """
    target = Path(out)
    if target.exists() and not force:
        raise InputError(f"{target} exists already; choose another, or replace it (force)")
    try:
        with (
            whole_file(target) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        ):
            for name, content in _files(resources.files("treadle"), "treadle"):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED, 9)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error}; choose another place") from error
    return target


def without_docstrings(source: str) -> str:
    """The same Python, without what is only for those who read it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.name in LEFT_OUT:
            continue
        name = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _files(entry, name)
        else:
            text = entry.read_text(encoding="utf-8")
            yield name, without_docstrings(text) if entry.name.endswith(".py") else text
