"""How many tokens a second does Treadle train on, beside a plain PyTorch loop in one run?

usage: python -m benchmarks.training [--rounds N] [--batches N] [--threads N] [--json [FILE]]

Both sides train the recipe's network on the same batches of made-up data with Adam and a clipped
gradient. The plain side is what one would write by hand: nn.LSTM, nn.Linear, a for loop. Treadle's
side goes through its Lightning module and trainer. They take turns, so that a busy moment of the
machine falls on both; the ratio is the median over the rounds, and below 0.9 the exit status is 1.
"""

import argparse
import logging
import random
import statistics
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from typing_extensions import override

from benchmarks.printing import add_json, put
from treadle.data import Dataset, Pair
from treadle.errors import RecipeError
from treadle_train.batching.bucketed import IGNORED, PairBatch
from treadle_train.batching.lanes import LaneBatch
from treadle_train.catalogue import load_recipe
from treadle_train.modules.base import TaskModule
from treadle_train.recipe import LanguageModelRecipe, Recipe, TransducerRecipe
from treadle_train.tasks import Task, open_task

LEAST_RATIO = 0.9
WARM_UP = 3
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PHONES = [f"P{k}" for k in range(39)]


@dataclass(frozen=True, slots=True)
class Throughput:
    """Medians over the rounds, in target symbols a second; the ratio is Treadle's over plain."""

    recipe: str
    plain: float
    treadle: float
    ratio: float
    rounds: int
    threads: int

    @property
    def passed(self) -> bool:
        """Whether Treadle trains fast enough."""
        return self.ratio >= LEAST_RATIO


class PlainTransducer(nn.Module):
    """Encoder-decoder with Luong's general attention, as in a tutorial."""

    def __init__(self, recipe: TransducerRecipe, sources: int, targets: int) -> None:
        super().__init__()
        size, width = recipe.network.hidden_size, recipe.network.embedding_size
        layers, rate = recipe.network.encoder_layers, recipe.network.dropout
        self.smoothing = recipe.training.label_smoothing
        self.source, self.target = nn.Embedding(sources, width), nn.Embedding(targets, width)
        self.encoder = nn.LSTM(
            width, size // 2, layers, batch_first=True, bidirectional=True, dropout=rate
        )
        self.decoder = nn.LSTM(width, size, batch_first=True)
        self.keys = nn.Linear(size, size, bias=False)
        self.mix, self.output = nn.Linear(2 * size, size), nn.Linear(size, targets)
        self.embedding_dropout = nn.Dropout(recipe.network.embedding_dropout)
        self.dropout = nn.Dropout(rate)

    def loss(self, batch: PairBatch) -> tuple[Tensor, int]:
        """Mean cross-entropy over the target symbols, and how many there are."""
        memory = self._encode(batch.source, batch.source_lengths)
        position = torch.arange(batch.source.shape[1])
        padded = (position >= batch.source_lengths[:, None])[:, None]
        hidden, _ = self.decoder(self.embedding_dropout(self.target(batch.inputs)))
        scores = torch.bmm(self.keys(hidden), memory.transpose(1, 2)).masked_fill(padded, -1e9)
        seen = torch.bmm(scores.softmax(-1), memory)
        logits = self.output(self.dropout(torch.tanh(self.mix(torch.cat([hidden, seen], -1)))))
        loss = functional.cross_entropy(
            logits.flatten(0, 1),
            batch.targets.flatten(),
            ignore_index=IGNORED,
            label_smoothing=self.smoothing,
        )
        return loss, int((batch.targets != IGNORED).sum())

    def _encode(self, source: Tensor, lengths: Tensor) -> Tensor:
        x = self.embedding_dropout(self.source(source))
        if bool((lengths == source.shape[1]).all()):  # packing full rows only costs time
            full: Tensor = self.encoder(x)[0]
            return full
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(
            self.encoder(packed)[0], batch_first=True, total_length=source.shape[1]
        )[0]


class PlainLanguageModel(nn.Module):
    """Embedding, nn.LSTM, linear layer; the state goes on from batch to batch."""

    def __init__(self, recipe: LanguageModelRecipe, symbols: int) -> None:
        super().__init__()
        network = recipe.network
        self.embedding = nn.Embedding(symbols, network.embedding_size)
        self.recurrent = nn.LSTM(
            network.embedding_size, network.hidden_size, network.layers, batch_first=True
        )
        self.output = nn.Linear(network.hidden_size, symbols)
        self.dropout = nn.Dropout(network.dropout)
        self.carried: tuple[Tensor, Tensor] | None = None

    def loss(self, batch: LaneBatch) -> tuple[Tensor, int]:
        """Mean cross-entropy over the symbols, and how many there are."""
        start = None if batch.fresh else self.carried
        hidden, (last, cell) = self.recurrent(self.dropout(self.embedding(batch.inputs)), start)
        self.carried = last.detach(), cell.detach()
        logits = self.output(self.dropout(hidden))
        loss = functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        return loss, batch.targets.numel()


class Clock(lightning.Callback):
    """Times the batches after the warm-up."""

    started = ended = 0.0

    @override
    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *rest: Any
    ) -> None:
        """Start before the first batch that counts."""
        if trainer.global_step == WARM_UP:
            self.started = time.perf_counter()

    @override
    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *rest: Any
    ) -> None:
        """The last batch leaves its time here."""
        self.ended = time.perf_counter()


def time_plain(model: Any, batches: list[Any], rate: float) -> float:
    """Seconds for the batches after the warm-up, in a plain loop."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    started = 0.0
    for index, batch in enumerate(batches):
        if index == WARM_UP:
            started = time.perf_counter()
        loss, _ = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()  # whoever trains looks at it
    return time.perf_counter() - started


def time_treadle(module: TaskModule[Any], batches: Iterable[Any], count: int) -> float:
    """Seconds for the first `count` batches after the warm-up, through Lightning."""
    clock = Clock()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=count,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, train_dataloaders=batches)
    return clock.ended - clock.started


def measure(name: str, rounds: int, count: int, threads: int) -> Throughput:
    """Both sides of one recipe, taking turns."""
    recipe = load_recipe(name)
    task = open_task(recipe, made_up(recipe, count))
    batches = list(task.train_batches(0, 0))[:count]
    symbols = sum(_symbols(batch) for batch in batches[WARM_UP:])
    plain, treadle = [], []
    for _ in range(rounds):
        seconds = time_plain(_plain(recipe, task), batches, recipe.training.learning_rate)
        plain.append(symbols / seconds)
        seconds = time_treadle(task.new_module(), task.train_batches(0, 0), len(batches))
        treadle.append(symbols / seconds)
    ratio = statistics.median(ours / theirs for ours, theirs in zip(treadle, plain, strict=True))
    return Throughput(
        recipe=name,
        plain=round(statistics.median(plain), 1),
        treadle=round(statistics.median(treadle), 1),
        ratio=round(ratio, 3),
        rounds=rounds,
        threads=threads,
    )


def made_up(recipe: Recipe, batches: int) -> Dataset[Any]:
    """Random words or text, enough for so many batches, of lengths as in the real data."""
    draw = random.Random(0)
    splits: dict[str, Any]
    if isinstance(recipe, TransducerRecipe):
        words = [_word(draw) for _ in range(batches * recipe.batching.batch_size)]
        splits = {"train": words, "validation": words[:2], "test": words[:2]}
    elif isinstance(recipe, LanguageModelRecipe):
        lane = (batches + 1) * recipe.batching.steps
        text = "".join(draw.choices(LETTERS + " \n", k=lane * recipe.batching.batch_size))
        splits = {"train": text, "validation": text[:200], "test": text[:200]}
    else:
        raise RecipeError(f"expected a recipe of words or text, got the task {recipe.task}")
    return Dataset("made-up", {}, "CC0-1.0", "a random generator", "sha256:none", splits)


def _word(draw: random.Random) -> Pair:
    length = min(max(3, round(draw.gauss(7.5, 2.2))), 20)
    phones = draw.choices(PHONES, k=max(2, length - draw.randrange(3)))
    return Pair("".join(draw.choices(LETTERS, k=length)), (tuple(phones),))


def _plain(recipe: Recipe, task: Task) -> nn.Module:
    sizes = [len(task.vocabularies[name]) for name in sorted(task.vocabularies)]
    if isinstance(recipe, TransducerRecipe):
        return PlainTransducer(recipe, *sizes)
    if not isinstance(recipe, LanguageModelRecipe):
        raise RecipeError(f"expected a recipe of words or text, got the task {recipe.task}")
    return PlainLanguageModel(recipe, *sizes)


def _symbols(batch: PairBatch | LaneBatch) -> int:
    return int((batch.targets != IGNORED).sum())


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether every recipe is fast enough."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=25)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    add_json(parser)
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.batches <= WARM_UP or options.threads < 1:
        parser.error(f"at least 1 round, 1 thread and {WARM_UP + 1} batches are needed")
    torch.set_num_threads(options.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    found = [
        measure(name, options.rounds, options.batches, options.threads)
        for name in ("pronounce-en", "characters")
    ]
    lines = [
        f"{one.recipe}: plain {one.plain:,.0f}, Treadle {one.treadle:,.0f} symbols/s, "
        f"ratio {one.ratio:.2f} (at least {LEAST_RATIO})"
        for one in found
    ]
    put([asdict(one) | {"passed": one.passed} for one in found], lines, options.json)
    return 0 if all(one.passed for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
