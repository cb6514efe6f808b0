"""From examples to batches of tensors, in an order that seed and epoch decide."""
