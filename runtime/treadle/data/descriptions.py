"""What Debian says of its packages: long descriptions, and what each is in a line."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from treadle.data.dataset import Dataset, digest_of
from treadle.data.examples import Pair
from treadle.data.malformed import Malformed
from treadle.data.readers.control import read_control
from treadle.data.splitting import shuffled_splits
from treadle.errors import DataError

if TYPE_CHECKING:
    from treadle.data.readers.control import Record

_FIELDS = ("description-en", "description")
_SAVING = "apt-cache pkgnames | sort | xargs apt-cache show > descriptions.txt"


def open_descriptions(
    *,
    path: str,
    seed: int = 0,
    words: int = 0,
    packages: Literal["all", "one"] = "all",
    malformed: Literal["error", "skip"] = "error",
) -> Dataset[list[Pair]]:
    """Long descriptions and synopses of packages, split 80/10/10 by `seed`.

    path: a saved list with long descriptions, as `apt-cache show` and `apt-cache dumpavail` print
    it, or a Translation file of a mirror. Packages of one source stay in one split; `packages`
    "one" takes only the first by name of each source. White space becomes single spaces, and
    of a description the first `words` words are kept (0: all). Packages that come again or have no
    long description are left out. Raises DataError.
    """
    policy = Malformed(malformed)
    found = _pairs(Path(path), words, policy)
    taken = {source: dict(sorted(pairs.items())) for source, pairs in sorted(found.items())}
    groups = [list(pairs.values())[: 1 if packages == "one" else None] for pairs in taken.values()]
    splits = {
        name: [pair for group in part for pair in group]
        for name, part in shuffled_splits(groups, seed).items()
    }
    return Dataset(
        name="package-descriptions",
        options={
            "path": path,
            "seed": seed,
            "words": words,
            "packages": packages,
            "malformed": malformed,
        },
        licence="those of the packages (Debian)",
        source="https://packages.debian.org",
        digest=digest_of(splits),
        splits=splits,
        skipped=policy.count,
    )


def _pairs(path: Path, words: int, malformed: Malformed) -> dict[str, dict[str, Pair]]:
    """Source -> package -> pair."""
    found: defaultdict[str, dict[str, Pair]] = defaultdict(dict)
    count = 0
    for number, record in read_control(path, malformed=malformed):
        count += 1
        if "package" not in record:
            malformed.found(path, number, f"expected a package, got {', '.join(record)[:80]}")
            continue
        package = record["package"]
        source = record.get("source", package).split()[0]  # its version may follow
        pair = _pair(record, words)
        if pair is not None:
            found[source].setdefault(package, pair)
    if not found:
        raise DataError(
            f"{path}: expected packages with long descriptions, got {count} without; apt keeps "
            f"them apart from its lists, so save them with: {_SAVING}"
        )
    return found


def _pair(record: Record, words: int) -> Pair | None:
    described = next((record[name] for name in _FIELDS if name in record), "")
    synopsis, *lines = described.split("\n")
    kept = [word for line in lines if line.strip() != "." for word in line.split()]
    text = " ".join(kept[: words or None])
    synopsis = " ".join(synopsis.split())
    return Pair(text, (synopsis,)) if text and synopsis else None
