"""JSON lines: an object a line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.data.malformed import Malformed
from treadle.data.readers.lines import read_lines
from treadle.data.readers.shaping import shaper
from treadle.errors import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from treadle.data.readers.shaping import Columns, Shaped

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json_lines(
    path: str | os.PathLike[str], columns: Columns, *, malformed: Malformed | None = None
) -> Iterator[Shaped]:
    """An example a line; which one, the roles of `columns` say (shaping.py).

    Columns are keys of the object. Tokens and targets may be lists. Empty lines are left out.
    Raises DataError.
    """
    malformed = malformed or Malformed()
    make = shaper(columns)
    for number, line in read_lines(path, malformed):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise DataError(f"expected a JSON object, got {line[:80]!r}")
            if _SURROGATE.search(line):
                json.dumps(row, ensure_ascii=False).encode()  # half a character is no text
            example = make(row)
        except DataError as error:
            malformed.found(Path(path), number, str(error))
        except (ValueError, RecursionError) as error:
            malformed.found(Path(path), number, f"expected a JSON object: {error}")
        else:
            yield example
