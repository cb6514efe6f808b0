"""Vectors of words that others trained, for the symbols of a vocabulary."""

from treadle_train.embeddings.loading import Coverage, Embeddings, load_embeddings

__all__ = ["Coverage", "Embeddings", "load_embeddings"]
