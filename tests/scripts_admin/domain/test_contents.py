"""What may be kept and shown of a file."""

import pytest

from scripts_admin.domain import contents
from scripts_admin.domain.contents import LONGEST_BYTES, Contents

KEYS = (
    b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
    b"-----BEGIN RSA PRIVATE KEY-----\r\nAAAA\r\n",
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
    b"-----BEGIN PRIVATE KEY-----\n",
    b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n",
    b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n",
    b"PuTTY-User-Key-File-3: ssh-ed25519\n",
    b"AGE-SECRET-KEY-1QQQ\n",
    b'\xef\xbb\xbf{"private_key": "-----BEGIN PRIVATE KEY-----\\nAAAA"}',
    b"#!/bin/sh\ncat > key <<END\n  -----BEGIN EC PRIVATE KEY-----\n",
)


@pytest.mark.parametrize("content", KEYS)
def test_a_private_key_is_never_shown_wherever_it_stands(content: bytes) -> None:
    assert contents.kind("notes.txt", content) == Contents.KEY
    assert not contents.may_be_shown("notes.txt", content)


@pytest.mark.parametrize("name", ["id_rsa", "id_ed25519", "ssh_host_ecdsa_key", "id_ed25519_sk"])
def test_a_file_named_like_a_private_key_counts_as_one(name: str) -> None:
    assert contents.kind(name, b"what is left of it\n") == Contents.KEY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#!/bin/sh\nfsfreeze -f /data\n",
        b"\xef\xbb\xbf#!/bin/sh\r\n",
        "# größer\n".encode(),
        b"-----BEGIN CERTIFICATE-----\nAAAA\n",
        b"ssh-ed25519 AAAAC3 alice@example.org\n",
        b"grep -q 'PRIVATE KEY' file\n",
    ],
)
def test_a_text_may_be_shown(content: bytes) -> None:
    assert contents.may_be_shown("before_p.sh", content)


def test_what_is_no_text_is_not_shown() -> None:
    assert contents.kind("before_p.sh", b"\x7fELF\0\1") == Contents.BINARY
    assert contents.kind("before_p.sh", "# größer\n".encode("latin-1")) == Contents.BINARY
    assert contents.kind("notes.txt", "text".encode("utf-16")) == Contents.BINARY
    assert contents.kind("before_p.sh", b"#" * (LONGEST_BYTES + 1)) == Contents.LARGE
