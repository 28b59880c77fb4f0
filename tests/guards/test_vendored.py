"""What browsers load from other projects is what its manifest says, and its compressed twin is the same."""

import gzip
import hashlib
import json

from tests.guards import tree

VENDOR = tree.ROOT / "static" / "vendor"


def test_every_vendored_file_is_in_the_manifest_with_its_sum() -> None:
    manifest = json.loads((VENDOR / "MANIFEST.json").read_text())
    told = {
        f"{name}/{file}": digest
        for name, each in manifest.items()
        for file, digest in each["files"].items()
    }
    there = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.suffix != ".gz" and path.name != "MANIFEST.json"
    }

    assert there == told
    assert {each["license"] for each in manifest.values()} == {"MIT"}


def test_every_compressed_file_is_the_same_as_its_plain_one() -> None:
    packed = list(VENDOR.rglob("*.gz"))

    assert len(packed) > 2
    for path in packed:
        assert gzip.decompress(path.read_bytes()) == path.with_suffix("").read_bytes(), path


def test_the_editor_is_bundled_from_the_source_that_is_here() -> None:
    """A change of its source takes effect when tools/vendor.py has bundled it."""
    told = json.loads((VENDOR / "MANIFEST.json").read_text())["codemirror"]["source"]

    for name, digest in told.items():
        source = tree.ROOT / "tools" / "editor" / name
        assert hashlib.sha256(source.read_bytes()).hexdigest() == digest
