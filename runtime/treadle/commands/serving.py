"""What `treadle web` serves: a list of files, fixed before the first request, and nothing else."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from treadle.errors import DeviceError, InputError
from treadle.manifest import MANIFEST_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from treadle.bundle import Bundle

ENGINE = "onnxruntime-web"
ASSETS = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""The engine's files: its module, and what it loads in WebAssembly."""
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
HEADERS = {
    # Cross-origin isolation: with it a page may have threads and clocks of 5 microseconds.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The page may load nothing from elsewhere and send nothing there.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Site:
    """The path of an address -> the file that is there."""

    files: Mapping[str, Path]

    @classmethod
    def of(cls, bundle: Bundle, assets: Path | None) -> Site:
        """The page, treadle.js, the engine's files and those of a bundle.

        Raises DeviceError with the npm command where `assets` does not hold the engine.
        """
        root = web_folder()
        files = {"/": root / "page/index.html", "/treadle.js": root / "treadle.js"}
        files |= {f"/page/{path.name}": path for path in (root / "page").iterdir()}
        files |= {f"/src/{path.name}": path for path in (root / "src").iterdir()}
        folder = assets_folder(assets)
        files |= {f"/assets/{name}": folder / name for name in ASSETS}
        listed = [MANIFEST_FILE, *bundle.manifest.files]
        return cls(files | {f"/bundle/{name}": bundle.path / name for name in listed})

    def find(self, target: str) -> Path | None:
        """The file that a request's target names, None for any other."""
        return self.files.get(unquote(urlsplit(target).path))


def web_folder() -> Path:
    """Where treadle.js and its page are: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "web"
    return installed if installed.is_dir() else package.parent / "web"


def assets_folder(given: Path | None) -> Path:
    """The folder of the engine's files; `given` may be that, or one where npm installed it.

    Raises DeviceError, with the npm command, where they are not there.
    """
    start = Path() if given is None else given
    inner = Path("node_modules") / ENGINE / "dist"
    for folder in (start, start / "dist", start / ENGINE / "dist", start / inner):
        if all((folder / name).is_file() for name in ASSETS):
            return folder
    raise DeviceError(
        f"expected {ENGINE} in {start.resolve() if given is None else given}, got a folder without "
        f"its {ASSETS[0]}; npm install {ENGINE}, then --assets node_modules/{ENGINE}/dist"
    )


@contextmanager
def serve(site: Site, host: str, port: int) -> Iterator[tuple[ThreadingHTTPServer, str]]:
    """A server of `site` and its address; it listens, and is closed afterwards.

    Raises InputError for a host or a port that cannot be had.
    """

    class Handler(_Handler):
        served = site

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot serve at {host}:{port}: {error}; choose another --port, or 0 for a free one"
        ) from error
    with server:
        yield server, f"http://{host}:{server.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD with a file of the site."""

    served: Site
    protocol_version = "HTTP/1.1"
    server_version = "treadle"
    sys_version = ""

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        """Send what is said of a file."""
        self._answer(with_content=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: standard output is for the address."""

    def _answer(self, *, with_content: bool) -> None:
        path = self.served.find(self.path)
        try:
            if path is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            with path.open("rb") as file:
                self.send_response(HTTPStatus.OK)
                for name, value in HEADERS.items():
                    self.send_header(name, value)
                kind = TYPES.get(path.suffix, "application/octet-stream")
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(path.stat().st_size))
                self.end_headers()
                if with_content:
                    shutil.copyfileobj(file, self.wfile)
        except ConnectionError:
            self.close_connection = True  # whoever asked has gone
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND)  # it was removed while the page was served
