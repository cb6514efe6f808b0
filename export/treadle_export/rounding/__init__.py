"""How weights are rounded: integers of few bits in blocks, each matrix of a model once."""
