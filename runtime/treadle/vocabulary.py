"""Text or symbols to ids and back; training and the device share this file."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any, Literal, get_args

from treadle.errors import BundleError, InputError
from treadle.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from treadle.subwords import Merges

FORMAT = "treadle-vocabulary/1"
SPACE = "\u2581"
"""What stands for a space within a subword."""

Kind = Literal["characters", "symbols", "words", "subwords"]
# A word: letters, digits and apostrophes; or one other character that is no white space.
_WORD = re.compile(r"[\w']+|[^\w\s]")
SPECIALS = ("padding", "start", "end", "unknown")
_NO_SYMBOLS = "the symbols of a vocabulary are strings that are not empty"
_NO_CHARACTER = "\uffff"  # Unicode promises that no text has it


def words_of(text: str) -> list[str]:
    """The words of `text`, in lower case.

    A word is a run of letters, digits, "_" and "'", or any other character that is no white space,
    by itself.

    "It's GOOD!" has the words "it's", "good" and "!".
    """
    return _WORD.findall(text.lower())


class Vocabulary:
    """A fixed, ordered set of symbols; the id of a symbol is its place.

    `kind` says how text becomes symbols: "characters" takes one symbol a character, "symbols"
    splits at white space, "words" takes the words of ordinary text (`words_of`), "subwords" joins
    characters by `merges` (subwords.py). `padding`, `start`, `end` and `unknown` are ids of special
    symbols or None; they never appear in decoded text and cannot be written by encoding text.

    Raises InputError when symbols repeat, are not strings or hold half a character (so any run of
    symbols is whole UTF-8), a special id is out of range, or merges make what is no symbol.
    """

    __slots__ = (
        "_ids",
        "_merges",
        "_special",
        "end",
        "kind",
        "padding",
        "start",
        "symbols",
        "unknown",
    )

    def __init__(
        self,
        symbols: Iterable[str],
        kind: Kind,
        padding: int | None = None,
        start: int | None = None,
        end: int | None = None,
        unknown: int | None = None,
        *,
        merges: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.symbols = tuple(symbols)
        self.kind = kind
        self.padding, self.start, self.end, self.unknown = padding, start, end, unknown
        if set(map(type, self.symbols)) - {str}:
            raise InputError(_NO_SYMBOLS)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._special = self._checked_specials()
        for index in self._special:
            del self._ids[self.symbols[index]]
        self._merges = self._checked_merges(tuple(merges))

    def _checked_merges(self, merges: tuple[tuple[str, str], ...]) -> Merges | None:
        if self.kind != "subwords":
            if merges:
                raise InputError(
                    f'a vocabulary of kind "{self.kind}" has no merges; use "subwords"'
                )
            return None
        from treadle.subwords import Merges

        checked = Merges(merges)
        for pair in checked.pairs:
            if not (pair[0] in self._ids and pair[1] in self._ids and "".join(pair) in self._ids):
                raise InputError(
                    f"the merge of {pair[0]!r} and {pair[1]!r} needs both and what they make in "
                    "the vocabulary; learn symbols and merges together"
                )
        return checked

    def _checked_specials(self) -> frozenset[int]:
        if self.kind not in get_args(Kind):
            raise InputError(
                f"a vocabulary is of kind {', '.join(get_args(Kind))}, not {self.kind!r}"
            )
        if not self.symbols:
            raise InputError("a vocabulary needs at least one symbol, got none")
        if "" in self._ids:
            raise InputError(_NO_SYMBOLS)
        try:
            "".join(self.symbols).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            symbol = next(symbol for symbol in self.symbols if half in symbol)
            raise InputError(
                f"the symbols of a vocabulary are text, but {symbol!r} holds half a character "
                "(a surrogate), which UTF-8 cannot write; use the whole character"
            ) from error
        if len(self._ids) != len(self.symbols):
            repeated = next(s for s in self.symbols if self.symbols.count(s) > 1)
            raise InputError(f"the symbol {repeated!r} is in the vocabulary twice; list it once")
        given = {name: getattr(self, name) for name in SPECIALS if getattr(self, name) is not None}
        for name, value in given.items():
            if type(value) is not int or not 0 <= value < len(self.symbols):
                raise InputError(
                    f"the id of the {name} symbol must be in 0..{len(self.symbols) - 1}, "
                    f"got {value!r}"
                )
        special = frozenset(given.values())
        if self.kind == "characters":
            for i, symbol in enumerate(self.symbols):
                if i not in special and len(symbol) != 1:
                    raise InputError(
                        f"a vocabulary of characters holds single characters, got {symbol!r}; "
                        'use kind "symbols"'
                    )
        return special

    @classmethod
    def build(
        cls,
        sequences: Iterable[Iterable[str]],
        kind: Kind,
        *,
        padding: str | None = None,
        start: str | None = None,
        end: str | None = None,
        unknown: str | None = None,
    ) -> Vocabulary:
        """The vocabulary of all symbols in `sequences`, sorted: the same data gives it twice.

        The names given for special symbols come first, in the order padding, start, end, unknown;
        so padding is 0 where there is one. Two roles may share one name. Raises InputError when
        the data holds a special symbol's name.
        """
        found = {symbol for sequence in sequences for symbol in sequence}
        names = dict(zip(SPECIALS, (padding, start, end, unknown), strict=True))
        special = list(dict.fromkeys(n for n in names.values() if n is not None))
        for name in special:
            if name in found:
                raise InputError(
                    f"the data holds {name!r}, which is to be a special symbol; name it otherwise"
                )
        ids = [None if name is None else special.index(name) for name in names.values()]
        return cls([*special, *sorted(found)], kind, *ids)

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.symbols, self.kind))

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self.kind})"

    @property
    def special(self) -> frozenset[int]:
        """The ids of special symbols."""
        return self._special

    def encode(self, text: str, *, unknown: Literal["error", "symbol"] = "error") -> list[int]:
        """Ids of the symbols of `text`, as `kind` says, in their order.

        A symbol that is not in the vocabulary raises InputError, or becomes the unknown symbol
        with `unknown="symbol"`, where the vocabulary has one. Words are never all known: one that
        is not becomes the unknown symbol without being asked.
        """
        return self.encode_symbols(self.split(text), unknown=unknown)

    def encode_symbols(
        self, symbols: Sequence[str], *, unknown: Literal["error", "symbol"] = "error"
    ) -> list[int]:
        """As `encode`, of what is split already: a symbol may then hold white space."""
        try:
            return [self._ids[symbol] for symbol in symbols]
        except KeyError:
            return self._encode_with_unknown(symbols, unknown)

    def split(self, text: str) -> Sequence[str]:
        """The symbols of `text`, whether the vocabulary has them or not."""
        if self.kind == "words":
            return words_of(text)
        if self._merges is not None:
            # A text that has the sign itself must not be read as one with a space there.
            return self._merges.pieces(text.replace(SPACE, _NO_CHARACTER))
        return text if self.kind == "characters" else text.split()

    def _encode_with_unknown(self, symbols: Sequence[str], unknown: str) -> list[int]:
        if self.unknown is not None and (unknown == "symbol" or self.kind == "words"):
            return [self._ids.get(symbol, self.unknown) for symbol in symbols]
        position, symbol = next((i, s) for i, s in enumerate(symbols) if s not in self._ids)
        symbol = symbol.replace(_NO_CHARACTER, SPACE)
        if unknown == "symbol":
            what_to_do = "it has no unknown symbol that could stand in, so leave the symbol out"
        elif self.unknown is not None:
            what_to_do = 'leave it out, or ask for unknown="symbol"'
        else:
            what_to_do = "leave it out"
        raise InputError(
            f"the symbol {symbol!r} at position {position} is not in the vocabulary of "
            f"{len(self._ids)} symbols ({self._sample()}); {what_to_do}"
        )

    def _sample(self) -> str:
        shown = list(self._ids)[:40]
        joined = "".join(shown) if self.kind == "characters" else " ".join(shown)
        return repr(joined)[1:-1] + (" …" if len(self._ids) > len(shown) else "")

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Symbols of `ids`, special symbols left out. Raises InputError for an id out of range."""
        symbols = []
        for i in ids:
            if not 0 <= i < len(self.symbols):
                raise InputError(f"an id must be in 0..{len(self.symbols) - 1}, got {i}")
            if i not in self._special:
                symbols.append(self.symbols[i])
        if self.kind == "subwords":
            return [symbol.replace(SPACE, " ") for symbol in symbols]
        return symbols

    @property
    def space(self) -> str:
        """What stands between two symbols in text."""
        return " " if self.kind in ("symbols", "words") else ""

    def text(self, ids: Iterable[int]) -> str:
        """Text of `ids`: characters and subwords as they are, symbols and words with spaces."""
        return self.space.join(self.decode(ids))

    @property
    def digest(self) -> str:
        """What the ids mean, as "sha256:" and 64 digits: the symbols in order, kind, specials."""
        document = json.dumps(self.to_json(), sort_keys=True)
        return f"sha256:{hashlib.sha256(document.encode()).hexdigest()}"

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as a JSON object."""
        document: dict[str, Any] = {"format": FORMAT, "kind": self.kind}
        document["symbols"] = list(self.symbols)
        document |= {name: getattr(self, name) for name in SPECIALS}
        if self._merges is not None:
            document["merges"] = [list(pair) for pair in self._merges.pairs]
        return document

    @classmethod
    def from_json(cls, document: object) -> Vocabulary:
        """The vocabulary in a JSON object. Raises BundleError when it is not one."""
        fields = {"format", "kind", "symbols", *SPECIALS}
        if isinstance(document, dict) and document.get("kind") == "subwords":
            fields |= {"merges"}
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, dict) else document
            raise BundleError(
                f"a vocabulary of the format {FORMAT!r} is expected, got {str(found)[:80]!r}; "
                "update treadle if it is a later one"
            )
        if set(document) != fields or not isinstance(document["symbols"], list):
            raise BundleError(
                f"a vocabulary has the fields {', '.join(sorted(fields))}, "
                f"got {', '.join(sorted(map(str, document)))}"
            )
        special = {name: document[name] for name in SPECIALS}
        try:
            merges = [(str(left), str(right)) for left, right in document.get("merges", ())]
            return cls(document["symbols"], document["kind"], **special, merges=merges)
        except (InputError, TypeError, ValueError) as error:
            raise BundleError(f"the vocabulary is malformed: {error}") from error

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """The vocabulary in a file. Raises BundleError when the file is missing or is not one."""
        try:
            with open(path, encoding="utf-8") as file:
                return cls.from_json(json.load(file))
        except (OSError, ValueError, RecursionError) as error:
            raise BundleError(f"cannot read the vocabulary {os.fspath(path)}: {error}") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a file, which is there whole or not at all. Raises OSError."""
        document = json.dumps(self.to_json(), ensure_ascii=False, indent=1) + "\n"
        write_atomically(path, document.encode())
