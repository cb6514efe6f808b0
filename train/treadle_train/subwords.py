"""Learn a vocabulary of subwords from text, by byte-pair encoding (Sennrich et al. 2016)."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from treadle.errors import DataError
from treadle.vocabulary import SPACE, Vocabulary

UNKNOWN = "<unknown>"


def learn_subwords(
    texts: Iterable[str],
    size: int,
    specials: Sequence[str] = (UNKNOWN,),
    *,
    where: str = "symbols",
) -> Vocabulary:
    """Characters of the texts and the pieces most worth having, `size` symbols at most.

    The first symbols are the special ones, "<padding>" and so on, of which UNKNOWN stands for
    unknown characters. The same texts give the same vocabulary.

    Raises:
        DataError: `tokenizers` is not installed, the texts have more characters than `size`, or
            one of them is the sign that stands for spaces.
    """
    learnt = _learnt(texts, size, specials)
    merges = [(str(left), str(right)) for left, right in learnt["merges"]]
    symbols = sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)
    if len(symbols) > size:
        raise DataError(
            f"the text has {len(symbols) - len(specials)} different characters, which do not fit a "
            f"vocabulary of {size} symbols with the unknown one; choose a larger {where}.size"
        )
    ids = {name.strip("<>"): symbols.index(name) for name in specials}
    return Vocabulary(symbols, "subwords", **ids, merges=merges)


def _learnt(texts: Iterable[str], size: int, specials: Sequence[str]) -> dict[str, Any]:
    try:
        import tokenizers
    except ImportError as error:
        raise DataError(
            f"subwords are learnt by tokenizers, which cannot be imported ({error}); "
            "pip install 'treadle[text]'"
        ) from error
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(SPACE, prepend_scheme="never")
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(specials), show_progress=False
    )
    tokenizer.train_from_iterator(map(_checked, texts), trainer)
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return model


def _checked(text: str) -> str:
    if SPACE in text:
        raise DataError(
            f"the text has the character {SPACE!r} (U+2581), which stands for a space in subwords; "
            "replace it"
        )
    return text
