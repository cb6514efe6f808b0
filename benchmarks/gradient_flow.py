"""How far back in time does a loss reach in each cell, on a task that asks for its first symbol?

    python benchmarks/gradient_flow.py --lag 30 --out gradient-flow.png

Hochreiter & Schmidhuber 1997: the gradient of an Elman network vanishes, and that of a network with
gates can learn not to. One row a cell, before and after training; a picture if asked for.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch

from treadle_train.gradient_flow.copy_task import CopyTask, last_loss, learn
from treadle_train.gradient_flow.flow import Flow, gradient_flow
from treadle_train.gradient_flow.report import write_plot
from treadle_train.networks import LanguageModel

CELLS = {
    "elman": ("elman", 0.0),
    "lstm": ("lstm", 0.0),
    "lstm, open forget gate": ("lstm", 3.0),
    "gru": ("gru", 0.0),
}


def measured(network: LanguageModel, task: CopyTask) -> Flow:
    """The flow through the one layer of `network`, over draws that it has not seen."""
    inputs, answers = task.batch(64, torch.Generator().manual_seed(2**31))
    (flow,) = gradient_flow(network, lambda _: last_loss(_, inputs, answers))  # type: ignore[arg-type]
    return flow


@click.command()
@click.option("--lag", default=20, show_default=True, help="Steps to remember for.")
@click.option("--hidden", default=24, show_default=True, help="Hidden size.")
@click.option("--steps", default=300, show_default=True, help="Steps of training.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Picture to write.")
def main(lag: int, hidden: int, steps: int, seed: int, out: Path | None) -> None:
    """Compare the cells."""
    torch.set_num_threads(1)
    task = CopyTask(lag)
    flows: dict[str, Flow] = {}
    for name, (cell, forget_bias) in CELLS.items():
        torch.manual_seed(seed)
        size = task.vocabulary_size
        network = LanguageModel(size, 8, hidden, cell=cell, forget_bias=forget_bias)
        before = measured(network, task)
        loss = learn(network, task, steps=steps, seed=seed)
        flows[name] = measured(network, task)
        click.echo(f"{name:<24} new      {before.verdict}")
        click.echo(f"{'':<24} trained  {flows[name].verdict}, loss {loss:.3f}")
    if out is not None:
        write_plot(out, flows)


if __name__ == "__main__":
    main()
