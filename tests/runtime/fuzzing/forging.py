"""Seal a damaged bundle anew, as who wants it opened would: without looking at what it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from treadle.errors import BundleError
from treadle.manifest import Manifest, digest_of, seal_of, sha256

if TYPE_CHECKING:
    from tests.runtime.fuzzing.sound import Files


def forge(files: Files) -> None:
    """Give the manifest the digests, sizes, digest and seal of what is there, where it can."""
    try:
        document = json.loads(files["manifest.json"])
        listed = document["files"]
        for name in listed:
            if name in files:
                content = files[name]
                listed[name] = {"sha256": sha256(content), "bytes": len(content)}
        files["manifest.json"] = json.dumps(document).encode()
        manifest = Manifest.from_json(document)
        document["digest"] = digest_of(manifest.to_json())
        document["seal"] = seal_of(Manifest.from_json(document).to_json())
    except (BundleError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return  # what the validators refuse before they look at a digest
    files["manifest.json"] = json.dumps(document).encode()
