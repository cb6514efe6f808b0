"""Who a bundle is from: an ed25519 signature of its seal, in a file beside the manifest.

The seal covers the manifest, and through its digests every file; so does a signature of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from treadle.document import from_document, parse_json
from treadle.errors import BundleError, DeviceError
from treadle.files import write_atomically
from treadle.manifest import SIGNATURE_FILE, SIGNATURE_LIMIT

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

    from treadle.bundle import Bundle

FORMAT = "treadle-signature/1"


class Signature(NamedTuple):
    """What the file says. key: "sha256:" and the digest of the public key; signature: base64."""

    format: str
    key: str
    signature: str


def sign_bundle(bundle: Bundle, private_key: str | os.PathLike[str] | bytes) -> Signature:
    """Sign a bundle with an ed25519 key, and write the signature beside its manifest.

    `private_key` is the path of a PEM file (PKCS#8, without a password), or its content. A
    signature that was there is replaced. The bundle's digest and seal stay as they are. Raises
    BundleError for a key that is none, DeviceError where the package cryptography is missing,
    OSError where the file cannot be written.
    """
    key = _private_key(private_key)
    made: bytes = key.sign(_message(bundle))
    document = {
        "format": FORMAT,
        "key": _fingerprint(key.public_key()),
        "signature": base64.b64encode(made).decode("ascii"),
    }
    write_atomically(bundle.path / SIGNATURE_FILE, (json.dumps(document, indent=1) + "\n").encode())
    return Signature(**document)


def check_signature(bundle: Bundle, public_key: str | os.PathLike[str] | bytes) -> None:
    """Raise BundleError unless whoever has the private half of `public_key` signed the bundle.

    `public_key` is the path of a PEM file, or its content. Raises DeviceError where the package
    cryptography is missing.
    """
    key = _public_key(public_key)
    signature = read_signature(bundle)
    if signature is None:
        raise BundleError(
            f"{bundle.path} is not signed: {SIGNATURE_FILE} is missing; get a signed one, or sign "
            "it: treadle sign"
        )
    if signature.key != (asked := _fingerprint(key)):
        raise BundleError(
            f"{bundle.path} is signed with the key {signature.key}, expected {asked}; do not use "
            "it, or check which key you have"
        )
    if not _verifies(key, signature, _message(bundle)):
        raise BundleError(
            f"{bundle.path / SIGNATURE_FILE} is no signature of this bundle by the key {asked}: "
            "the bundle or the signature was changed; do not use it"
        )


def read_signature(bundle: Bundle) -> Signature | None:
    """What the signature's file says, unchecked; None where there is no such file.

    Raises BundleError for a file that is no signature.
    """
    path = bundle.path / SIGNATURE_FILE
    if not os.path.lexists(path):
        return None
    try:
        # As any file of a bundle, no link to a place outside and nothing that could block.
        if path.is_symlink() or not path.is_file() or path.stat().st_size > SIGNATURE_LIMIT:
            raise BundleError(f"expected a file of at most {SIGNATURE_LIMIT} bytes")
        document = parse_json(path.read_bytes(), "it")
        found = document.get("format") if isinstance(document, dict) else None
        if isinstance(found, str) and found != FORMAT:
            raise BundleError(f"expected the format {FORMAT!r}, got {found[:60]!r}; update treadle")
        return from_document(Signature, document)
    except (OSError, BundleError) as error:
        raise BundleError(
            f"cannot read the signature {path}: {error}; get the bundle again, or sign it: "
            "treadle sign"
        ) from error


def _message(bundle: Bundle) -> bytes:
    # With its own first line, so that no other use of the key can be taken for this one.
    return f"{FORMAT}\n{bundle.manifest.seal}\n".encode()


def _verifies(key: Ed25519PublicKey, signature: Signature, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(signature.signature, validate=True), message)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _fingerprint(key: Ed25519PublicKey) -> str:
    return f"sha256:{hashlib.sha256(key.public_bytes_raw()).hexdigest()}"


def _private_key(given: str | os.PathLike[str] | bytes) -> Ed25519PrivateKey:
    serialization, ed25519 = _cryptography()
    pem = _pem(given)
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise _no_key("private", "BEGIN PRIVATE KEY, without a password", error) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _no_key("private", "ed25519", f"it is {type(key).__name__}")
    return cast("Ed25519PrivateKey", key)


def _public_key(given: str | os.PathLike[str] | bytes) -> Ed25519PublicKey:
    serialization, ed25519 = _cryptography()
    pem = _pem(given)
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise _no_key("public", "BEGIN PUBLIC KEY", error) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _no_key("public", "ed25519", f"it is {type(key).__name__}")
    return cast("Ed25519PublicKey", key)


def _pem(given: str | os.PathLike[str] | bytes) -> bytes:
    if isinstance(given, bytes):
        return given
    try:
        return Path(given).read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read the key {given}: {error}; check the path") from error


def _no_key(kind: str, expected: str, found: object) -> BundleError:
    return BundleError(
        f"expected a {kind} key of ed25519 in PEM ({expected}), got something else ({found}); "
        "make one: openssl genpkey -algorithm ed25519 -out private.pem, and its public half: "
        "openssl pkey -in private.pem -pubout -out public.pem"
    )


def _cryptography() -> tuple[Any, Any]:
    """The modules serialization and ed25519; signatures alone need them."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise DeviceError(
            f"signatures need the package cryptography, which cannot be imported ({error}); "
            "pip install 'treadle[sign]'"
        ) from error
    return serialization, ed25519
