"""`treadle web`: a bundle in the browser, from a page that this machine serves to itself."""

from __future__ import annotations

from pathlib import Path

import click

from treadle.commands.options import bundle_argument, json_option, print_json, write


@click.command()
@bundle_argument
@click.option(
    "--assets",
    type=click.Path(path_type=Path),
    show_default="node_modules/onnxruntime-web/dist",
    help="Folder of the engine's files, from npm install onnxruntime-web.",
)
@click.option("--port", default=8000, show_default=True, help="0: any that is free.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="0.0.0.0: the whole network may ask."
)
@json_option
def web(bundle: Path, assets: Path | None, port: int, host: str, as_json: bool) -> None:
    """Serve a page that runs BUNDLE in the browser, until Ctrl-C.

    The browser computes; nothing that is typed leaves it. Another bundle can be dropped on the
    page. With --json the address is one JSON document, printed before the first request.
    """
    from treadle.bundle import open_bundle
    from treadle.commands.serving import Site, serve

    with (
        open_bundle(bundle) as opened,
        serve(Site.of(opened, assets), host, port) as (server, url),
    ):
        if as_json:
            print_json({"url": url, "bundle": opened.manifest.name})
        else:
            write(f"{opened.manifest.name} is at {url} (Ctrl-C ends it)\n")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("ended", err=True)
