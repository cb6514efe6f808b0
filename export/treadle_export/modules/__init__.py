"""A foreign torch module as one graph and its origin; `torch_modules.py` puts them together."""
