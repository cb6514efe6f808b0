"""What a bundle can be built for: one file a target, and the table of them."""

from treadle.errors import ExportError
from treadle_export.targets.arm64 import ARM64
from treadle_export.targets.cpu import CPU
from treadle_export.targets.cuda import CUDA
from treadle_export.targets.mobile import MOBILE
from treadle_export.targets.target import Target
from treadle_export.targets.web import WEB

__all__ = ["TARGETS", "Target", "target_named"]

TARGETS: dict[str, Target] = {target.name: target for target in (CPU, ARM64, WEB, CUDA, MOBILE)}


def target_named(name: str) -> Target:
    """The target called `name`. Raises ExportError naming those that exist."""
    if name not in TARGETS:
        raise ExportError(f"expected a target of {', '.join(TARGETS)}, got {name!r}")
    return TARGETS[name]
