"""`treadle sign`: say who a bundle is from."""

from __future__ import annotations

from pathlib import Path

import click

from treadle.commands.options import bundle_argument, json_option, print_json, write


@click.command()
@bundle_argument
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    help="Private ed25519 key, a PEM file without a password.",
)
@json_option
def sign(bundle: Path, key: Path, as_json: bool) -> None:
    """Sign BUNDLE, so that who has the public key can check who it is from.

    Every file is checked against its digest first. The signature is a file beside the manifest;
    the model's digest stays what it is.
    """
    from treadle.bundle import open_bundle
    from treadle.errors import BundleError
    from treadle.signature import sign_bundle

    try:
        signature = sign_bundle(open_bundle(bundle), key)
    except OSError as error:
        raise BundleError(f"cannot write the signature into {bundle}: {error}") from error
    if as_json:
        print_json({"bundle": str(bundle), "key": signature.key})
    else:
        write(f"{bundle} is signed with the key {signature.key}\n")
