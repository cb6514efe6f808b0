"""A run directory: what training leaves behind and everything else starts from.

run.json              recipe with every default, data digest, versions, seed, history, what
                      bucketing saves, how many words have given vectors, and how many
                      training examples were left out
weights.safetensors   of the best epoch; after fine-tuning for int4 as rounded, with their scales
vocabularies/         one JSON file each
checkpoint/           to resume from
history.csv curve.png the learning curve
report.md             figures, curve and examples of errors, once it has finished
"""

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from treadle import __version__
from treadle.data import Dataset, open_dataset
from treadle.errors import DataError, TreadleError
from treadle.vocabulary import Vocabulary
from treadle_train.bundled import BUNDLED
from treadle_train.files import write_json
from treadle_train.networks import Network
from treadle_train.networks.build import build_network
from treadle_train.quantization.fake import SCALES
from treadle_train.recipe import Recipe, recipe_from_table, recipe_to_table
from treadle_train.sections.training import PrecisionName

FORMAT = "treadle-run/1"
RUN = "run.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class FineTuned:
    """The rounding that a network was trained with; its weights are rounded already.

    scales: parameter's name -> float32 [N, C] of its blocks, for parameters [N, K];
    float32, rounded: the figure of the run it started from and its own, on the validation split;
    None where there is none, or none to compare with.
    """

    precision: str
    scales: dict[str, Tensor]
    metric: str
    float32: float | None
    rounded: float | None


@dataclass(frozen=True)
class Run:
    """A trained network with what belongs to it; the network is in eval mode, float32, on CPU."""

    path: Path
    network: Network
    recipe: Recipe
    vocabularies: dict[str, Vocabulary]
    evaluation: dict[str, Any]
    decoding: dict[str, Any]
    licence: dict[str, str]
    provenance: dict[str, Any]
    history: list[dict[str, float]]
    fine_tuned: FineTuned | None = None

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    def dataset(self) -> Dataset[Any]:
        """The data set the run was trained on. Raises DataError when it is not the same now."""
        dataset = open_dataset(self.recipe.data.name, self.recipe.data.options)
        if dataset.digest != self.provenance["data"]:
            raise DataError(
                f"The run {self.path} was trained on data with the digest "
                f"{self.provenance['data']}, but the data set {dataset.name!r} now has "
                f"{dataset.digest}; get that edition back, or train again."
            )
        return dataset


def begin_run(
    recipe: Recipe, dataset: Dataset[Any], threads: int, precision: PrecisionName
) -> dict[str, Any]:
    """The document of run.json at the start of a training; `write_run` writes it.

    `precision` is what the products are made in here, which may be another than the recipe asks.
    """
    return {
        "format": FORMAT,
        "name": recipe.name,
        "recipe": recipe_to_table(recipe),
        "data": {
            "name": dataset.name,
            "options": dict(dataset.options),
            "digest": dataset.digest,
            "licence": dataset.licence,
            "source": dataset.source,
        },
        "seed": recipe.training.seed,
        "threads": threads,
        "precision": precision,
        "versions": {
            "treadle": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "lightning", "numpy")},
        },
        "history": [],
        "best": None,
        "finished": False,
    }


def write_run(path: Path, document: dict[str, Any]) -> None:
    """Write run.json, atomically."""
    write_json(path / RUN, document)


def read_run(path: Path) -> dict[str, Any]:
    """The document of run.json. Raises DataError when it is missing or not one."""
    try:
        document = json.loads((path / RUN).read_text(encoding="utf-8"))
        found = document["format"]
    except FileNotFoundError as error:
        raise DataError(
            f"{path} is no run: it has no {RUN}; train one with: treadle train RECIPE --out {path}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path / RUN} cannot be read ({error}); train again.") from error
    if found != FORMAT:
        raise DataError(
            f"{path / RUN} has the format {found!r}, expected {FORMAT!r}; update treadle if it is "
            "a later one."
        )
    return dict(document)


def best_value(document: dict[str, Any]) -> float | None:
    """The validation figure of the best epoch in run.json; None before one is written down."""
    best = document["best"]
    return None if best is None else best["value"]


def write_vocabularies(path: Path, vocabularies: dict[str, Vocabulary]) -> None:
    """One file each under vocabularies/."""
    (path / "vocabularies").mkdir(exist_ok=True)
    for name, vocabulary in vocabularies.items():
        vocabulary.write(path / "vocabularies" / f"{name}.json")


def load_run(path: str | Path) -> Run:
    """The run in the directory `path`. Raises DataError when it is none, unfinished or damaged."""
    path = Path(path)
    document = read_run(path)
    try:
        recipe = recipe_from_table(document["recipe"])
        names = sorted((path / "vocabularies").glob("*.json"))
        vocabularies = {file.stem: Vocabulary.read(file) for file in names}
        with torch.random.fork_rng(devices=[]):  # the weights it starts with are not kept
            network = build_network(recipe, vocabularies)
        weights, scales = _without_scales(load_file(path / WEIGHTS))
        network.load_state_dict(weights)
    except FileNotFoundError as error:
        raise DataError(
            f"The run {path} has no weights yet: its first epoch is not over; continue with "
            f"treadle train {document.get('name')} --out {path} --resume"
        ) from error
    except (TreadleError, SafetensorError, KeyError, RuntimeError) as error:
        raise DataError(f"The run {path} is damaged ({error}); train again.") from error
    network.eval()
    return Run(
        path=path,
        network=network,
        recipe=recipe,
        vocabularies=vocabularies,
        evaluation=_evaluation(recipe, document),
        decoding=BUNDLED[recipe.task].decoding(recipe, vocabularies, network),
        licence={"weights": recipe.licence, "data": document["data"]["licence"]},
        provenance={
            **document["versions"],
            "recipe": recipe.name,
            "data": document["data"]["digest"],
            **_vectors(document),
            "seed": document["seed"],
        },
        history=document["history"],
        fine_tuned=_fine_tuned(recipe, document, scales),
    )


def _vectors(document: dict[str, Any]) -> dict[str, str]:
    """Which vectors of words the embedding began with, where it did."""
    return {"vectors": f"sha256:{document['vectors']['sha256']}"} if "vectors" in document else {}


def _without_scales(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    scales = {name: tensors.pop(name) for name in list(tensors) if name.startswith(SCALES)}
    return tensors, {name.removeprefix(SCALES): scale for name, scale in scales.items()}


def _fine_tuned(
    recipe: Recipe, document: dict[str, Any], scales: dict[str, Tensor]
) -> FineTuned | None:
    asked = document.get("quantization")
    if asked is None:
        return None
    return FineTuned(
        precision=asked["precision"],
        scales=scales,
        metric=_evaluation(recipe, document)["metric"],
        float32=asked["from"] and asked["from"]["best"],
        rounded=best_value(document),
    )


def _evaluation(recipe: Recipe, document: dict[str, Any]) -> dict[str, Any]:
    return {
        "dataset": document["data"]["name"],
        "options": document["data"]["options"],
        "metric": BUNDLED[recipe.task].metric(recipe),
    }
