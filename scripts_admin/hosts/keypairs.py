"""Private SSH keys: made here, or judged when somebody brings one. A key leaves as OpenSSH's own text."""

from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from scripts_admin.domain import ssh
from scripts_admin.domain.ssh import PublicKey

LONGEST_CHARACTERS = 16 * 1024
WEAKEST_RSA_BITS = 2048
_STRONGEST_RSA_BITS = 16 * 1024
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
IS_LOCKED = "This key has a passphrase: enter it, too."
NOT_A_KEY = (
    "This is not a private SSH key that can be read: paste the whole file, from its line BEGIN to its "
    "line END, in OpenSSH's form or as PEM."
)


class KeyRefusedError(ValueError):
    """A private key is not taken; the text is a sentence for people and has nothing of the key."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key in OpenSSH's form, without a passphrase, and its public half."""

    private: str = field(repr=False)
    public: PublicKey


def make() -> Pair:
    """Make an ed25519 key."""
    return _pair(ed25519.Ed25519PrivateKey.generate())


def read(text: str, passphrase: str = "") -> Pair:
    """Return the key of a file that a person brings; the passphrase opens it here, and is kept nowhere.

    KeyRefusedError: it is no private key, has a passphrase that does not fit, or is too weak.
    """
    text = text.replace("\r\n", "\n").strip().removeprefix("\ufeff") + "\n"
    _refuse_what_is_none(text)
    try:
        found = _loaded(text.encode(), passphrase.encode() or None)
    except UnsupportedAlgorithm as error:
        raise KeyRefusedError(
            "The kind of this key, or of its encryption, is not used here: make an ed25519 key."
        ) from error
    except (ValueError, TypeError) as error:
        raise KeyRefusedError(_why(text, passphrase, str(error))) from None
    return _judged(found)


def _refuse_what_is_none(text: str) -> None:
    if len(text) > LONGEST_CHARACTERS:
        raise KeyRefusedError("This is too long for a private SSH key: paste the key's file alone.")
    if text.startswith("PuTTY-User-Key-File"):
        raise KeyRefusedError(
            "This is a key of PuTTY: export it in PuTTYgen as an OpenSSH key, and paste that."
        )
    if text.startswith(("ssh-", "ecdsa-", "sk-", "---- BEGIN SSH2 PUBLIC")) or "PUBLIC KEY" in text:
        raise KeyRefusedError(
            "This is the public half of a key: paste the file without the ending .pub."
        )


def _loaded(data: bytes, passphrase: bytes | None) -> object:
    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        return serialization.load_ssh_private_key(data, passphrase)
    return serialization.load_pem_private_key(data, passphrase)


def _why(text: str, passphrase: str, said: str) -> str:
    said = said.lower()
    if "password was given but" in said:
        return "This key has no passphrase, but one was entered: leave the passphrase empty."
    if not passphrase and ("password" in said or "ENCRYPTED" in text):
        return f"{IS_LOCKED} The key is then kept without it, encrypted by the server."
    if passphrase and any(word in said for word in ("password", "decrypt", "checksum")):
        return "The passphrase does not open this key: enter it again."
    return NOT_A_KEY


def _judged(found: object) -> Pair:
    if isinstance(found, dsa.DSAPrivateKey):
        raise KeyRefusedError(
            "DSA keys are too weak and OpenSSH no longer takes them: make an ed25519 key."
        )
    if isinstance(found, rsa.RSAPrivateKey):
        if not WEAKEST_RSA_BITS <= found.key_size <= _STRONGEST_RSA_BITS:
            raise KeyRefusedError(
                f"RSA keys need {WEAKEST_RSA_BITS} to {_STRONGEST_RSA_BITS} bits, and this one has "
                f"{found.key_size}: make an ed25519 key."
            )
        return _pair(found)
    if isinstance(found, ec.EllipticCurvePrivateKey) and isinstance(found.curve, _CURVES):
        return _pair(found)
    if isinstance(found, ed25519.Ed25519PrivateKey):
        return _pair(found)
    raise KeyRefusedError("SSH does not use keys of this kind: make an ed25519 key.")


def _pair(key: _Private) -> Pair:
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return Pair(private.decode(), ssh.public_key(public.decode()))
