"""Private keys: what is taken, what is refused with which sentence, and that nothing of a key is said."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa

from scripts_admin.hosts import keypairs
from scripts_admin.hosts.keypairs import KeyRefusedError
from tests.ground import components

PASSPHRASE = "correct horse"


def keygen(folder: Path, *words: str, passphrase: str = "") -> str:
    path = folder / "k"
    program = components.program("ssh-keygen")
    subprocess.run([program, "-q", "-N", passphrase, "-f", path, *words], check=True)
    return path.read_text()


def fingerprint(folder: Path, text: str) -> str:
    path = folder / "again"
    path.touch(mode=0o600)
    path.write_text(text)
    told = subprocess.run(
        [components.program("ssh-keygen"), "-lf", path], check=True, capture_output=True, text=True
    )
    return told.stdout.split()[1]


def test_a_key_that_is_made_here_is_ed25519_and_openssh_reads_it(tmp_path: Path) -> None:
    pair = keypairs.make()

    assert pair.public.kind == "ssh-ed25519"
    assert fingerprint(tmp_path, pair.private) == pair.public.fingerprint
    assert "PRIVATE" not in repr(pair)


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
@pytest.mark.parametrize("form", [["-m", "PEM"], []])
@pytest.mark.parametrize("kind", [["-t", "ed25519"], ["-t", "ecdsa"], ["-t", "rsa", "-b", "2048"]])
def test_a_key_is_taken_in_every_form_that_openssh_writes(
    tmp_path: Path, kind: list[str], form: list[str], passphrase: str
) -> None:
    text = keygen(tmp_path, *kind, *form, passphrase=passphrase)

    pair = keypairs.read(text.replace("\n", "\r\n"), passphrase)

    public = (tmp_path / "k.pub").read_text().split()
    assert str(pair.public) == " ".join(public[:2])
    assert fingerprint(tmp_path, pair.private) == pair.public.fingerprint
    assert pair.private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")


@pytest.mark.parametrize("form", [["-m", "PEM"], []])
@pytest.mark.parametrize(
    ("given", "sentence"), [("", "has a passphrase: enter it"), ("wrong", "does not open this key")]
)
def test_a_passphrase_is_asked_for(
    tmp_path: Path, form: list[str], given: str, sentence: str
) -> None:
    text = keygen(tmp_path, "-t", "rsa", "-b", "2048", *form, passphrase=PASSPHRASE)

    with pytest.raises(KeyRefusedError, match=sentence) as raised:
        keypairs.read(text, given)
    assert PASSPHRASE not in str(raised.value)


def test_a_passphrase_for_a_key_without_one_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(KeyRefusedError, match="leave the passphrase empty"):
        keypairs.read(keygen(tmp_path, "-t", "ed25519"), PASSPHRASE)


def pem(key: object) -> str:
    return key.private_bytes(  # type: ignore[attr-defined,no-any-return]
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


WRONG = {
    "DSA keys are too weak": lambda: pem(dsa.generate_private_key(1024)),  # noqa: S505 - weak on purpose
    "this one has 1024": lambda: pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - as above
    "SSH does not use keys of this kind": lambda: pem(ec.generate_private_key(ec.SECP256K1())),
    "keys of this kind: make": lambda: pem(ed448.Ed448PrivateKey.generate()),
    "public half": lambda: str(keypairs.make().public),
    "key of PuTTY": lambda: "PuTTY-User-Key-File-3: ssh-ed25519\n",
    "too long": lambda: "x" * 20_000,
    "is not a private SSH key": lambda: "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n",
    "not a private SSH key that": lambda: "password\0\n",
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_is_no_good_key_is_refused_with_a_sentence(sentence: str) -> None:
    with pytest.raises(KeyRefusedError, match=sentence):
        keypairs.read(WRONG[sentence]())
