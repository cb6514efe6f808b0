"""What a search takes from a bundle: symbols to choose from, where it starts and where it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import BundleError

if TYPE_CHECKING:
    from treadle.manifest import Manifest
    from treadle.model import Model
    from treadle.vocabulary import Vocabulary

LONGEST_ANSWER = 65_536
"""Steps that a bundle may ask a search to make; whoever calls may ask for more."""
WIDEST_BEAM = 256
"""Hypotheses that a bundle may ask a search to keep; whoever calls may ask for more."""
LENGTH_PENALTY = 0.6
"""The exponent of the length penalty where neither the bundle nor whoever calls says one."""


def vocabulary_of(model: Model, role: str) -> Vocabulary:
    """The vocabulary whose symbols a step's logits are of.

    Raises BundleError where there is none, or where no output is float32 [batch, V] with a logit
    for each of its symbols.
    """
    manifest = model.manifest
    if role not in model.vocabularies:
        raise BundleError(
            f"{manifest.name} has no vocabulary {role!r}, so it cannot make symbols; "
            "run it step by step: Model.stream"
        )
    vocabulary = model.vocabularies[role]
    outputs = manifest.graphs["step"].outputs
    named = [t for t in outputs if len(outputs) == 1 or t.name == "logits"]
    if not named or named[0].dtype != "float32" or named[0].shape[1:] != (len(vocabulary),):
        raise BundleError(
            f"graphs.step of {manifest.name} should give logits float32 [batch, "
            f"{len(vocabulary)}], one for each symbol of the vocabulary {role!r}, got "
            f"{', '.join(f'{t.name} {t.dtype} {list(t.shape)}' for t in outputs)}; "
            "export the bundle again"
        )
    return vocabulary


def decoding_id(model: Model, key: str, role: str) -> int:
    """The symbol that `decoding` gives as `key`. Raises BundleError for one that is not there."""
    return _number(model.manifest, key, 0, len(vocabulary_of(model, role)) - 1)


def longest_answer(manifest: Manifest) -> int:
    """Steps that a search makes at most. Raises BundleError for less than 1, or no end in sight."""
    return _number(manifest, "max_length", 1, LONGEST_ANSWER)


def usual_beam(manifest: Manifest) -> int:
    """Hypotheses that a search keeps unless told otherwise, 1 where the bundle does not say.

    Raises BundleError for less than 1, or more than anybody needs.
    """
    return _number(manifest, "beam", 1, WIDEST_BEAM) if "beam" in manifest.decoding else 1


def usual_length_penalty(manifest: Manifest) -> float:
    """The exponent of the length penalty (`decoding.beam.length_penalty`) unless told otherwise.

    Raises BundleError for what is no number from 0 to 10.
    """
    value = manifest.decoding.get("length_penalty", LENGTH_PENALTY)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10:
        raise BundleError(
            f"decoding.length_penalty of {manifest.name} should be a number from 0 to 10, got "
            f"{str(value)[:60]}; export the bundle again"
        )
    return float(value)


def _number(manifest: Manifest, key: str, least: int, most: int) -> int:
    value = manifest.decoding.get(key)
    if type(value) is not int or not least <= value <= most:
        raise BundleError(
            f"decoding.{key} of {manifest.name} should be an integer in {least}..{most}, got "
            f"{str(value)[:60]}; export the bundle again"
        )
    return value
