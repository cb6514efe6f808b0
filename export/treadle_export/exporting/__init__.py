"""The stages from a model to its bundles in order, and from a bundle to another precision."""
