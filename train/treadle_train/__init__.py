"""Cells, networks, data and recipes: how a recurrent network is trained."""
