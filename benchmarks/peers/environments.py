"""An environment for each engine that the project does not need otherwise, under build/peers.

Made by pip from `requirements/<family>.txt`, once. PyTorch, where a package asks for it, is held to
the version that runs here, so that no other build of it is fetched. An engine that cannot be
installed is an `UnavailableError`, with what pip said: a gap that is explained, not a failure.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.engines import OWN_ENVIRONMENT
from benchmarks.peers.workloads import BUILD, ROOT

REQUIREMENTS = Path(__file__).parent / "requirements"
UNWANTED = {"openvino": ("openvino-telemetry",)}
"""Packages that come along and report to others: without them the engine does not."""


class UnavailableError(Exception):
    """Why an engine, or one of its conversions, is not there."""


def python_of(family: str) -> Path:
    """The Python that runs a family's engines, which is made when it is asked for first.

    Raises UnavailableError.
    """
    if family not in OWN_ENVIRONMENT:
        return Path(sys.executable)
    home = BUILD / f"venv-{family}"
    python = home / "bin/python"
    wanted = (REQUIREMENTS / f"{family}.txt").read_text(encoding="utf-8")
    ready = home / "ready"
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        _make(home, python, family)
        ready.write_text(wanted, encoding="utf-8")
    return python


def _make(home: Path, python: Path, family: str) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    constraints = BUILD / "constraints.txt"
    constraints.write_text(f"torch=={version('torch').partition('+')[0]}\n", encoding="utf-8")
    if not python.exists():
        _call([sys.executable, "-m", "venv", str(home)])
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    needed = ["-c", str(constraints), "-r", str(REQUIREMENTS / f"{family}.txt")]
    _call([*pip, "install", "--no-compile", *needed])  # half of the time, and most is never run
    if family in UNWANTED:
        _call([*pip, "uninstall", "--yes", *UNWANTED[family]])


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{' '.join(command[1:4])} …: {last_lines(done.stderr)}")


def last_lines(text: str, count: int = 3) -> str:
    """What a failed program said last, as one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return without_places(" / ".join(lines[-count:]))[-600:] or "it said nothing"


def without_places(text: str) -> str:
    """A reason as others may read it: without addresses, and folders of this machine."""
    places = (str(BUILD), str(ROOT), sys.prefix, sys.base_prefix, str(Path.home()))
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, "…")
    return re.sub(r"\w+://\S+", "…", text)
