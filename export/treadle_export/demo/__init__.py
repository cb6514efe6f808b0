"""The whole road on real data, timed beside PyTorch as its users write it."""
