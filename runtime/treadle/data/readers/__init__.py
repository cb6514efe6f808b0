"""Readers of file formats: one function a format, a file to an iterator of examples.

Strict: what is malformed raises DataError naming file, line and what was expected; or, with a
`Malformed("skip")`, is left out and counted. Files packed with gzip are read as they are.
"""
