"""`treadle web`: what is served, how, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.project.repository import ROOT
from treadle import cli
from treadle.commands.serving import ASSETS, assets_folder
from treadle.errors import DeviceError
from treadle.packing import pack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Files by the engine's names: the command does not look into them."""
    folder = tmp_path / "node_modules/onnxruntime-web/dist"
    folder.mkdir(parents=True)
    for name in ASSETS:
        (folder / name).write_bytes(name.encode())
    return folder


@contextmanager
def serving(bundle: str | Path, assets: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server in a process of its own, and the process."""
    arguments = ["web", str(bundle), "--assets", str(assets), "--port", "0", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "treadle", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        try:
            yield json.loads("".join(lines))["url"], process
        finally:
            process.kill()


def fetched(url: str, method: str = "GET") -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.mark.parametrize("packed", [False, True])
def test_all_that_the_page_needs_is_served_and_nothing_else(
    packed: bool, bundles: dict[str, str], engine: Path, tmp_path: Path
) -> None:
    path = Path(bundles["pronounce"])
    bundle = pack(path, tmp_path / "p.zip") if packed else path
    with serving(bundle, engine) as (url, _):
        served = {
            "": ("text/html; charset=utf-8", ROOT / "runtime/web/page/index.html"),
            "page/app.js": ("text/javascript; charset=utf-8", ROOT / "runtime/web/page/app.js"),
            "page/style.css": ("text/css; charset=utf-8", ROOT / "runtime/web/page/style.css"),
            "treadle.js": ("text/javascript; charset=utf-8", ROOT / "runtime/web/treadle.js"),
            "src/bundle.js": ("text/javascript; charset=utf-8", ROOT / "runtime/web/src/bundle.js"),
            f"assets/{ASSETS[0]}": ("text/javascript; charset=utf-8", engine / ASSETS[0]),
            f"assets/{ASSETS[2]}": ("application/wasm", engine / ASSETS[2]),
            "bundle/manifest.json": ("application/json", path / "manifest.json"),
            "bundle/step.onnx": ("application/octet-stream", path / "step.onnx"),
        }
        for name, (kind, file) in served.items():
            status, headers, content = fetched(url + name)
            assert (status, headers["Content-Type"]) == (200, kind)
            assert content == file.read_bytes()
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            assert "default-src 'self'" in headers["Content-Security-Policy"]
            status, headers, content = fetched(url + name, "HEAD")
            assert (status, content) == (200, b"")
            assert int(headers["Content-Length"]) == file.stat().st_size
        for name in (
            "bundle/../treadle.js",
            "bundle/%2e%2e/x",
            "src/",
            "page/../../treadle/cli.py",
            "assets/package.json",
            "bundle/signature.json",
            "%00",
        ):
            assert fetched(url + name)[0] == 404, name
        assert fetched(url, "POST")[0] == 501


def test_only_this_machine_may_ask(bundles: dict[str, str], engine: Path) -> None:
    with serving(bundles["characters"], engine) as (url, _):
        assert url.startswith("http://127.0.0.1:")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_an_interruption_ends_it_cleanly(bundles: dict[str, str], engine: Path) -> None:
    with serving(bundles["characters"], engine) as (url, process):
        assert fetched(url)[0] == 200
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=30)
    assert (process.returncode, out, said) == (0, "", "ended\n")


def test_without_the_engine_it_says_how_to_get_it(
    bundles: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["web", bundles["characters"], "--assets", str(tmp_path), "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "DeviceError"
    assert "npm install onnxruntime-web" in error["message"]


def test_the_engine_is_found_where_npm_puts_it(engine: Path) -> None:
    project = engine.parents[2]
    for given in (engine, engine.parent, project / "node_modules", project):
        assert assets_folder(given) == engine
    (engine / ASSETS[2]).unlink()
    with pytest.raises(DeviceError, match=r"npm install onnxruntime-web"):
        assets_folder(project)


def test_a_port_that_is_taken_is_said(
    bundles: dict[str, str], engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = ["web", bundles["characters"], "--assets", str(engine), "--port", port]
        assert cli.run(arguments) == 1
    assert f"cannot serve at 127.0.0.1:{port}" in capsys.readouterr().err
