"""Learn from texts what a vocabulary takes them for: characters, words, subwords."""

from collections import Counter
from collections.abc import Iterable, Sequence

from treadle.errors import DataError
from treadle.vocabulary import SPECIALS, Kind, Vocabulary
from treadle_train.subwords import learn_subwords

SUBWORDS = 1000
"""Symbols of a vocabulary of subwords, unless the recipe says how many."""


def learn_vocabulary(
    texts: Iterable[str],
    kind: Kind,
    size: int = 0,
    *,
    specials: Sequence[str] = ("unknown",),
    least_count: int = 1,
    where: str = "symbols",
) -> Vocabulary:
    """The vocabulary of the texts' symbols, at most `size` of them (0: all) with the special ones.

    Special symbols, "padding" and so on, come first in the order of `SPECIALS`. A symbol that is
    there fewer than `least_count` times is left out, of the others the most frequent stay; of
    characters all that are frequent enough have to fit. `where`: the part of the recipe that says
    the size. The same texts give the same vocabulary. Raises DataError where characters do not fit.
    """
    names = {role: f"<{role}>" for role in SPECIALS if role in specials}
    if kind == "subwords":
        return learn_subwords(texts, size or SUBWORDS, tuple(names.values()), where=where)
    splitting = Vocabulary(["<unknown>"], kind, unknown=0)
    counts = Counter(symbol for text in texts for symbol in splitting.split(text))
    # Of equally frequent ones the first in order, so that the same text keeps the same.
    frequent = sorted(counts.items(), key=lambda found: (-found[1], found[0]))
    kept = [symbol for symbol, count in frequent if count >= least_count]
    if size and len(kept) > size - len(names):
        if kind == "characters":
            raise DataError(
                f"The training split has {len(kept)} different characters, which do not fit a "
                f"vocabulary of {size} symbols with the {' and '.join(specials)} one; choose a "
                f"larger {where}.size."
            )
        kept = kept[: size - len(names)]
    return Vocabulary.build([kept], kind, **names)
