"""A vocabulary smaller than half the embedding becomes one table; others are left alone."""

from __future__ import annotations

import pytest

from tests.export.small_models import canonical, lowered


@pytest.mark.parametrize(
    ("kind", "folds"), [("folded-general", True), ("folded-model", True), ("lstm-general", False)]
)
def test_small_vocabularies_are_folded(kind: str, *, folds: bool) -> None:
    for name, graph in lowered(kind, "int8").graphs.items():
        tables = [key for key in graph.model.graph.initializers if key.endswith(".lookup")]
        expected = 2 if name == "encode" else 1  # one a direction
        assert len(tables) == (expected if folds else 0), name
        if folds:
            embeddings = [key for key in graph.model.graph.initializers if "embedding" in key]
            assert not embeddings  # nothing reads them any more


def test_the_canonical_graph_is_left_as_it_was() -> None:
    lowered("folded-model", "int8")
    names = canonical("folded-model").graphs["step"].model.graph.initializers
    assert not any(key.endswith(".lookup") for key in names)
