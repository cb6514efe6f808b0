"""The commands of the export, one a file, and the options that they share."""
