"""Write JSON documents so that they are there whole or not at all."""

import json
from pathlib import Path
from typing import Any

from treadle.files import write_atomically


def write_json(path: Path, document: Any) -> None:
    """Write `document` as indented JSON, atomically. Raises OSError."""
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())
