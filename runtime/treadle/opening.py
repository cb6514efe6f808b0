"""Opens the first session of a model ahead, while the rest of its bundle is checked.

Importing the engine and opening a graph take most of a cold start, and leave the interpreter to
whoever needs it. What a graph reads meanwhile are weights of the right size, and nothing runs with
them before their digest is found right.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from treadle.graph_file import check_graph_file
from treadle.session import check_engine, open_session

if TYPE_CHECKING:
    from treadle.bundle import Bundle
    from treadle.session import Hardware


def is_onnx(file: str) -> bool:
    """Whether a file is ONNX; the engine knows ORT format by its name, too."""
    return not file.endswith(".ort")


def open_graph(bundle: Bundle, name: str, hardware: Hardware) -> Any:
    """The session of a graph, its file looked at before the engine reads it.

    Raises DeviceError and BundleError as `open_session`, BundleError as `check_graph_file`.
    """
    file = bundle.manifest.graphs[name].file
    check_engine(bundle.manifest.requires.get("onnxruntime"))
    if is_onnx(file):
        check_graph_file(bundle, file)
    captured = hardware.cuda_graph and name == "step"
    return open_session(bundle.file(file), hardware, captured=captured)


class Opening:
    """A graph that is being opened in a thread. `name`: of the graph."""

    def __init__(self, bundle: Bundle, name: str, hardware: Hardware) -> None:
        self.name = name
        self._session: Any = None

        def work() -> None:
            # Whoever asks for the session opens it anew, and meets the error then.
            with suppress(Exception):
                self._session = open_graph(bundle, name, hardware)

        self._thread = threading.Thread(target=work, name=f"treadle-opening-{name}")
        self._thread.start()

    def session(self) -> Any:
        """The session when it is open; None where it failed, or this process was forked from it."""
        self._thread.join()
        return self._session

    def end(self) -> None:
        """Wait until nothing reads the bundle's files any more."""
        self._thread.join()


def open_ahead(bundle: Bundle, hardware: Hardware) -> Opening | None:
    """Begin with the graph that a model of the bundle needs first, where a thread can open it.

    Denormal numbers are flushed in the thread that opens the first session, so that is the user's.
    """
    graphs = bundle.manifest.graphs
    name = next((name for name in ("step", "sequence") if name in graphs), None)
    if name is None or not hardware.denormals or not is_onnx(graphs[name].file):
        return None
    return Opening(bundle, name, hardware)
