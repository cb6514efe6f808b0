"""A disk that fails while a snapshot is saved: an error that names the file, and the old one whole.

tests/runtime/test_files.py has the disk that is full at the flush; here it fails before and after,
and where the system can be made to, for real.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest

from tests.project.repository import ROOT
from treadle.state import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.model import Model


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "state.npz"
    with model.stream() as stream:
        stream.step(np.array([1]))
        stream.snapshot().save(path)
    return path


def check(model: Model, saved: Path, words: str, kind: type[BaseException] = OSError) -> None:
    """Saving fails with a message, and nothing else has happened."""
    content = saved.read_bytes()
    with model.resume(Snapshot.load(saved)) as stream:
        stream.step(np.array([2]))
        with pytest.raises(kind, match=words):
            stream.snapshot().save(saved)
        stream.step(np.array([3]))  # the stream goes on
    assert saved.read_bytes() == content
    assert list(saved.parent.iterdir()) == [saved]


def opening(monkeypatch: pytest.MonkeyPatch, instead: Callable[[Path], BufferedWriter]) -> None:
    """Let files that are to be new be opened so; all others as ever."""
    usual = Path.open

    def opened(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        return instead(path) if mode == "xb" else usual(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", opened)


def writing(monkeypatch: pytest.MonkeyPatch, error: BaseException, kept: int) -> None:
    """Let new files take `kept` bytes and then fail."""

    class Failing(BufferedWriter):
        def write(self, content: Any) -> int:
            super().write(content[:kept])
            raise error

    opening(monkeypatch, lambda path: Failing(FileIO(path, "x")))


@pytest.mark.parametrize("kept", [0, 100])
def test_no_space_while_it_is_written(
    model: Model, saved: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    writing(monkeypatch, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), kept)
    check(model, saved, r"No space left on device: '.*state\.npz'")


def test_a_disk_that_cannot_be_written(
    model: Model, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    opening(monkeypatch, refuse)
    check(model, saved, r"Read-only file system: '.*state\.npz'")


def test_a_write_that_is_interrupted(
    model: Model, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing(monkeypatch, KeyboardInterrupt("stopped"), 100)
    check(model, saved, "stopped", KeyboardInterrupt)


def test_a_name_that_cannot_be_taken(
    model: Model, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path), None, str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    check(model, saved, r"Input/output error: '.*state\.npz'")


LIMITED = """
import resource, signal, sys
import numpy as np
from treadle.state import Snapshot
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
snapshot = Snapshot("sha256:0", {"a": np.ones((1, 9000), np.float32)})
try:
    snapshot.save(sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
def test_a_file_that_may_not_grow(saved: Path) -> None:
    """The system itself refuses, in the middle of the content."""
    content = saved.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(saved)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert str(saved) in done.stdout
    assert saved.read_bytes() == content
    assert list(saved.parent.iterdir()) == [saved]
