"""Small networks of every kind, captured once, and the data of a made-up language."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from treadle.data import Dataset, Pair
from treadle.vocabulary import Vocabulary
from treadle_export.capturing.network import capture
from treadle_export.engine import Arrays, Engine
from treadle_export.quantization.precision import lower, precision_named
from treadle_train.catalogue import load_recipe
from treadle_train.networks import LanguageModel, Network, Transducer
from treadle_train.networks.build import build_network
from treadle_train.run import Run

if TYPE_CHECKING:
    from treadle_export.canonical import CanonicalModel

SOURCES, TARGETS = 30, 41

# cell, attention (None: a language model), hidden size, embedding size, layers. Sizes that are
# multiples of nothing, one that is aligned, every cell, every attention, one and two layers.
KINDS: dict[str, tuple[str, str | None, int, int, int]] = {
    "lstm-model": ("lstm", None, 37, 19, 2),
    "peephole-model": ("lstm-peephole", None, 35, 18, 2),
    "gru-model": ("gru", None, 33, 20, 1),
    "gru-before-model": ("gru-reset-before", None, 50, 7, 1),
    "elman-model": ("elman", None, 21, 12, 2),
    "relu-model": ("elman-relu", None, 18, 9, 1),
    "aligned-model": ("lstm", None, 64, 32, 1),
    "lstm-general": ("lstm", "general", 34, 15, 1),
    "gru-additive": ("gru", "additive", 22, 10, 1),
    "elman-dot": ("elman", "dot", 26, 13, 1),
    "gru-before-fixed": ("gru-reset-before", "fixed", 38, 11, 1),
    "lstm-fixed": ("lstm", "fixed", 32, 16, 2),
    # Embeddings wider than twice the vocabulary: folded into tables.
    "folded-general": ("lstm", "general", 48, 96, 1),
    "folded-model": ("gru", None, 32, 90, 1),
    # As wide as a real one: kernels sum long rows in more than one way.
    "wide-general": ("lstm", "general", 256, 32, 1),
    "ngram-general": ("lstm", "general", 34, 16, 1),
}


@cache
def network(kind: str) -> Network:
    """A network with weights large enough for its gates to move."""
    cell, attention, hidden, embedding, layers = KINDS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made: Network
        if attention is None:
            made = LanguageModel(TARGETS, embedding, hidden, layers, cell)
        else:
            ngrams = 3 if kind.startswith("ngram") else 1
            sizes = (embedding, hidden, 2, layers, cell, attention)
            made = Transducer(SOURCES, TARGETS, *sizes, source_ngrams=ngrams)
            if made.source_ngrams is not None:  # new ones say nothing
                for table in made.source_ngrams.parameters():
                    torch.nn.init.normal_(table)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.mul_(1.0 if cell == "elman-relu" and "recurrent" in name else 2.0)
    return made.eval()


@cache
def canonical(kind: str) -> CanonicalModel:
    return capture(network(kind))


@cache
def lowered(kind: str, precision: str) -> CanonicalModel:
    return lower(canonical(kind), precision_named(precision))


@cache
def engine(kind: str, precision: str, graph: str, threads: int = 1) -> Engine:
    """`precision` "canonical" is the captured graph."""
    model = canonical(kind) if precision == "canonical" else lowered(kind, precision)
    return Engine(model.graphs[graph].model, threads=threads)


def encoded(kind: str, precision: str, sources: list[list[int]]) -> tuple[Arrays, Arrays]:
    """Context and initial states [B, …] of ragged sources, padded as the runtime pads them."""
    interface = canonical(kind).graphs["step"].interface
    rows = len(sources)
    initial = {p.name: np.zeros((rows, int(p.shape[1])), np.float32) for p in interface.state}
    if "encode" not in canonical(kind).graphs:
        return {}, initial
    width = -(-max(map(len, sources)) // 16) * 16
    source = np.zeros((rows, width), np.int64)
    for row, ids in enumerate(sources):
        source[row, : len(ids)] = ids
    lengths = np.array([len(ids) for ids in sources], np.int64)
    result = engine(kind, precision, "encode").run({"source": source, "source_lengths": lengths})
    for port in interface.state:
        if isinstance(port.initial, dict):
            initial[port.name] = result[port.initial["output"]]
    return {tensor.name: result[tensor.name] for tensor in interface.context}, initial


def as_feeds(state: Arrays) -> Arrays:
    return {f"state.{name}": array for name, array in state.items()}


def next_state(result: Arrays) -> Arrays:
    start = "next_state."
    return {n.removeprefix(start): array for n, array in result.items() if n.startswith(start)}


def _spelled(index: int) -> str:
    return "".join("abcde"[(index // 5**place) % 5] for place in range(2 + index % 5))


def made_up_words(*, seed: int = 0) -> Dataset[Any]:
    """Words over five letters; a letter is pronounced as itself in capitals, and "e" not at all."""
    del seed  # the words are the same in every order that a recipe asks for
    words = sorted({_spelled(index) for index in range(5, 700)})
    entries = [Pair(word, (tuple(word.replace("e", "").upper()) or ("E",),)) for word in words]
    return Dataset(
        name="made-up",
        options={},
        licence="CC0-1.0",
        source="made up",
        digest="sha256:made-up",
        splits={"train": entries, "validation": entries[:20], "test": entries[100:]},
    )


def untrained_run(path: Any, *changes: str) -> Run:
    """A run of the made-up language with the weights it starts from; needs no training."""
    recipe = load_recipe(
        "pronounce-en",
        ["network.hidden_size=32", "network.embedding_size=16", "data.name=made-up", *changes],
    )
    output = Vocabulary(("<pad>", "<s>", "</s>", *"ABCDE"), "symbols", padding=0, start=1, end=2)
    letters = Vocabulary(("<pad>", "<unk>", *"abcde"), "characters", padding=0, unknown=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = build_network(recipe, {"input": letters, "output": output}).eval()
    return Run(
        path=path,
        network=made,
        recipe=recipe,
        vocabularies={"input": letters, "output": output},
        evaluation={"dataset": "made-up", "options": {}, "metric": "word_error_rate"},
        decoding={"start": 1, "end": 2, "max_length": 12},
        licence={"weights": "Apache-2.0", "data": "CC0-1.0"},
        provenance={"recipe": "pronounce-en", "data": "sha256:made-up", "seed": 0},
        history=[],
    )
