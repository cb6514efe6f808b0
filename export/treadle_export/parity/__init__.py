"""The parity ladder at export: what a model is held against, over which inputs, rung by rung."""
