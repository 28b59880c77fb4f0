"""SSH keys of people, before they open an account: judged by sshpubkeys."""

from pathlib import Path

from sshpubkeys import SSHKey
from sshpubkeys.exceptions import InvalidKeyError, TooShortKeyError

from scripts_admin.domain.shown import shown
from scripts_admin.folders.provisioning.commands import ProvisionError

_KINDS = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
_LEAST_BITS_OF_RSA = 2048
_LONGEST = 64 * 1024


def of_file(path: Path) -> dict[str, str]:
    """Return the file's public keys, one a line, by their fingerprint; ProvisionError if one is none that we take."""
    name = shown(str(path))
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LONGEST)
    except OSError as error:
        raise ProvisionError(
            f"{name} cannot be read ({error.strerror}): name a file with public SSH keys."
        ) from None
    if "PRIVATE KEY" in text:
        raise ProvisionError(
            f"{name} holds a private key: name the public half, the file that ends in .pub."
        )
    lines = [line.strip() for line in text.splitlines()]
    found = dict(_judged(line, name) for line in lines if line and not line.startswith("#"))
    if not found:
        raise ProvisionError(f"{name} holds no key: name a file with public SSH keys, one a line.")
    return found


def _judged(line: str, name: str) -> tuple[str, str]:
    if not line.isprintable():
        raise ProvisionError(
            f"{name} has a line that is no text: name a file with public SSH keys, one a line."
        )
    key = SSHKey(line, strict=True, disallow_options=True)
    try:
        key.parse()
    except TooShortKeyError:
        raise ProvisionError(
            f"{name} has a key that is too short: use ssh-keygen -t ed25519."
        ) from None
    except (InvalidKeyError, NotImplementedError, ValueError) as error:
        what = str(error).rstrip(".") or "unknown form"
        raise ProvisionError(
            f"{name} has a line that is no plain public SSH key ({shown(what)}): one a line, as in a .pub file."
        ) from None
    kind = key.key_type.decode()
    if kind not in _KINDS:
        raise ProvisionError(
            f"{name} has a key of the kind {shown(kind)}, which is weak: use ssh-keygen -t ed25519."
        )
    if kind == "ssh-rsa" and key.bits < _LEAST_BITS_OF_RSA:
        raise ProvisionError(
            f"{name} has an RSA key of {key.bits} bits: use ssh-keygen -t ed25519."
        )
    return key.hash_sha256(), line
