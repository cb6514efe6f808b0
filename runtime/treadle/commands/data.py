"""`treadle data`: the published data sets that there are, and how one gets here."""

from __future__ import annotations

import click

from treadle.commands.options import json_option, print_json, table, write


@click.group()
def data() -> None:
    """List the published data sets, or fetch one; each takes --json.

    Files are looked for in the directory that the variable TREADLE_DATA names, then in the Python
    package that ships them, then in the user's cache.
    """


@data.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Say which data sets there are, and whether their files are on this machine."""
    from treadle.data.catalogue import CATALOGUE

    entries = [entry.to_json() for entry in CATALOGUE.values()]
    if as_json:
        print_json(entries)
        return
    rows = [[e["name"], e["standing"], f"{e['bytes']:,}"] for e in entries]
    figures = table(["name", "files", "bytes"], rows).splitlines()
    told = ["what (licence)", "", *(f"{e['what']} ({e['licence']})" for e in entries)]
    lines = [f"{a}  {b}".rstrip() for a, b in zip(figures, told, strict=True)]
    write("\n".join(lines) + "\n")


@data.command()
@click.argument("name")
@json_option
def fetch(name: str, as_json: bool) -> None:
    """Make the files of the data set NAME be on this machine, or say how to get them."""
    from treadle.data.catalogue import published

    paths = [str(path) for path in published(name).fetch()]
    if as_json:
        print_json({"name": name, "files": paths})
    else:
        write("".join(f"{path}\n" for path in paths))
