"""What the process that converts models for one engine does.

usage: python -m benchmarks.peers.converting CASE …

Beside each model it leaves a mark that it is done, or a note of why it could not be made.
"""

import sys
import traceback
from importlib import import_module

from benchmarks.peers.case import Case


def main() -> int:
    """Convert one after the other; what fails does not keep the others from being made."""
    for line in sys.argv[1:]:
        case = Case.from_json(line)
        try:
            import_module(case.engine.module).convert(case)
        except Exception as error:  # noqa: BLE001 - whatever a converter raises is the reason
            traceback.print_exc()
            case.failed.write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        else:
            case.failed.unlink(missing_ok=True)
            case.made.touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
