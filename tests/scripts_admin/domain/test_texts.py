"""What a file holds: text that may be shown, a private key that never is, or something else."""

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from scripts_admin.domain import texts
from scripts_admin.domain.texts import Kind

_PEM, _OPENSSH = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
_PKCS8, _OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
_OPEN, _CLOSED = (
    serialization.NoEncryption(),
    serialization.BestAvailableEncryption(b"a good passphrase"),
)
_BODY = b"lQOYBGcAAAABCADEADBEEFDEADBEEFDEADBEEFDEADBEEFDEADBEEFDEADBEEFaa\n"
_MARK = b"-" * 5


def _keys() -> dict[str, bytes]:
    small, large = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)
    return {
        "openssh": small.private_bytes(_PEM, _OPENSSH, _OPEN),
        "openssh closed": small.private_bytes(_PEM, _OPENSSH, _CLOSED),
        "pkcs8": small.private_bytes(_PEM, _PKCS8, _OPEN),
        "pkcs8 closed": large.private_bytes(_PEM, _PKCS8, _CLOSED),
        "rsa": large.private_bytes(_PEM, _OLD, _OPEN),
        "rsa closed": large.private_bytes(_PEM, _OLD, _CLOSED),
        "pgp": b"%(m)sBEGIN PGP PRIVATE KEY BLOCK%(m)s\nVersion: 1\n\n" % {b"m": _MARK} + _BODY,
        "ssh2": b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: x\n" + _BODY,
        "putty": b"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
        "age": b"AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQ\n",
    }


KEYS = _keys()


@pytest.mark.parametrize("name", KEYS)
def test_a_private_key_is_one_wherever_it_stands(name: str) -> None:
    key = KEYS[name]
    text = key.decode()

    assert texts.kind(key) == Kind.KEY
    assert texts.kind(key.replace(b"\n", b"\r\n")) == Kind.KEY
    assert texts.kind(b"#!/bin/bash\ncat <<E >key\n" + key + b"E\n") == Kind.KEY
    assert texts.kind(b"KEY='" + key.replace(b"\n", b"\\n") + b"'") == Kind.KEY
    assert texts.kind(b"\xff" + key) == Kind.KEY
    assert texts.kind(text.encode("utf-16")) == Kind.KEY
    assert texts.beginning(key) == Kind.KEY


def test_a_key_without_its_first_line_is_one_all_the_same() -> None:
    body = KEYS["openssh"].split(b"\n")[1]

    assert base64.b64decode(body + b"==", validate=False).startswith(b"openssh-key-v1")
    assert texts.kind(body) == Kind.KEY


def test_what_only_speaks_of_keys_is_text(tmp_path: Path) -> None:
    speaks = f'grep -q "{_MARK.decode()}BEGIN RSA PRIVATE KEY{_MARK.decode()}" /cpmdata/scripts/mysshkey.pem\n'
    assert texts.kind(speaks.encode()) == Kind.TEXT

    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True
    )
    assert texts.kind((tmp_path / "key").read_bytes()) == Kind.KEY
    assert texts.kind((tmp_path / "key.pub").read_bytes()) == Kind.TEXT


def test_bytes_that_are_no_utf8_are_no_text() -> None:
    assert texts.kind(b"\x7fELF\0") == Kind.BINARY
    assert texts.kind(b"caf\xe9") == Kind.BINARY
    assert texts.kind("café\n".encode()) == Kind.TEXT
    assert texts.kind(b"") == Kind.TEXT
    assert texts.beginning("café".encode()[:-1]) == Kind.TEXT
    assert texts.beginning(b"caf\xe9 is not") == Kind.BINARY


def test_a_text_from_a_browser_gets_the_line_ends_of_its_file() -> None:
    assert texts.entered("a\r\nb\r\n", crlf=False) == b"a\nb\n"
    assert texts.entered("a\rb\n", crlf=False) == b"a\nb\n"
    assert texts.entered("a\r\nb\n", crlf=True) == b"a\r\nb\r\n"
    assert texts.has_windows_line_ends(b"a\r\nb\r\n")
    assert not texts.has_windows_line_ends(b"a\r\nb\n")
    assert not texts.has_windows_line_ends(b"ab")


def test_a_byte_order_mark_before_an_interpreter_line_is_dropped() -> None:
    assert texts.entered("\ufeff#!/bin/bash\n", crlf=False) == b"#!/bin/bash\n"
    assert texts.entered("\ufeffa\n", crlf=False) == "\ufeffa\n".encode()
