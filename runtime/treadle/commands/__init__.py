"""The runtime's own commands, one a file."""
