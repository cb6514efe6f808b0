"""Train recurrent networks: cells, networks, recipes, and runs that can be resumed."""
