"""The sections of recipes, and how they are read."""
