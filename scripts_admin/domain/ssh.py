"""SSH's public keys and hosts, as text: parsing, fingerprints, the drawn fingerprint, and OpenSSH's lines. Pure."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

DEFAULT_PORT = 22
LAST_PORT = 65535
# In the order in which we ask a host for them.
KINDS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
_NAMES = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}
_LABELS = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LENGTH_BYTES = 4
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}(?![A-Za-z0-9+/])")
_KEY_LINE = re.compile(r"\b((?:ssh|ecdsa)-[a-z0-9-]+) (AAAA[A-Za-z0-9+/]+={0,2})")
_RSA_NUMBERS = 2


class NotAKeyError(ValueError):
    """The text is no public key, host or fingerprint; the text of the error is a sentence for people."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key as OpenSSH writes it."""

    kind: str
    blob: bytes

    def __str__(self) -> str:
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        return f"SHA256:{base64.b64encode(self._digest()).decode().rstrip('=')}"

    @property
    def name(self) -> str:
        """The kind in OpenSSH's short form, such as ED25519."""
        return _NAMES.get(self.kind, "ECDSA")

    @property
    def bits(self) -> int:
        if self.kind == "ssh-rsa":
            return int.from_bytes(_parts(self.blob)[_RSA_NUMBERS]).bit_length()
        return int(self.kind[-3:]) if self.kind.startswith("ecdsa") else 256

    @property
    def art(self) -> str:
        """The fingerprint as OpenSSH draws it (`ssh-keygen -lv`): people compare pictures better than letters."""
        return _drawn(self._digest(), f"[{self.name} {self.bits}]")

    def _digest(self) -> bytes:
        return hashlib.sha256(self.blob).digest()


def public_key(text: str) -> PublicKey:
    """Return the key of an OpenSSH line; NotAKeyError if it is none of the KINDS."""
    kind, _, rest = text.strip().partition(" ")
    try:
        blob = base64.b64decode(rest.partition(" ")[0], validate=True)
        said = _parts(blob)[0].decode()
    except (binascii.Error, ValueError, IndexError):
        raise NotAKeyError("This is not the line of a public SSH key.") from None
    if said != kind or kind not in KINDS:
        raise NotAKeyError(f"SSH keys of the kind {kind[:40]} are not used here.")
    return PublicKey(kind, blob)


def _parts(blob: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(blob):
        length = int.from_bytes(blob[at : at + _LENGTH_BYTES])
        at += _LENGTH_BYTES + length
        if at > len(blob):
            raise ValueError("a part is longer than the whole")
        found.append(blob[at - length : at])
    return found


def host_name(text: str) -> str:
    """Return the name or IP address as scripts would write it, in lower case; NotAKeyError if it is neither."""
    name = text.strip().lower().removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(name)) if "%" not in name else _refused(text)
    except ValueError:
        pass
    labels = name.removesuffix(".").split(".")
    is_number = all(label.isdecimal() for label in labels)
    if len(name) > 253 or is_number or not all(map(_LABELS.fullmatch, labels)):  # noqa: PLR2004 - DNS's own
        _refused(text)
    return name


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address, and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _refused(text: str) -> str:
    raise NotAKeyError(
        f"{text[:80]!r} is no host: write a name such as db1.example.org, or an IP address."
    )


def fingerprint(text: str) -> str:
    """Return a fingerprint that a person pasted, also out of `ssh-keygen -l`; NotAKeyError if there is none."""
    found: set[str] = {*_FINGERPRINT.findall(text), *_of_lines(text)}
    if len(found) != 1:
        raise NotAKeyError(
            "Write one fingerprint as `ssh-keygen -l` shows it: SHA256: and 43 letters, digits, + or /."
        )
    return found.pop()


def fingerprints_on(console: str) -> list[str]:
    """Return the fingerprints of host keys that the output of an instance's console shows, each once.

    cloud-init prints fingerprints, the public keys themselves, or both.
    """
    return sorted({*_FINGERPRINT.findall(console), *_of_lines(console)})


def _of_lines(text: str) -> set[str]:
    found = set()
    for kind, rest in _KEY_LINE.findall(text):
        try:
            found.add(public_key(f"{kind} {rest}").fingerprint)
        except NotAKeyError:
            continue
    return found


def known_host(name: str, port: int) -> str:
    """Return the host as a known_hosts file names it."""
    return name if port == DEFAULT_PORT else f"[{name}]:{port}"


def known_hosts(rows: Iterable[tuple[str, int, str]]) -> str:
    """Return the lines for hosts, each a name, a port and a public key."""
    return "".join(f"{known_host(name, port)} {key}\n" for name, port, key in sorted(rows))


def authorized_keys(public: str, comment: str) -> str:
    """Return the line for the far side: the key runs commands there, and forwards nothing."""
    return f"restrict {public} {comment}"


def _drawn(digest: bytes, title: str) -> str:
    """Draw as OpenSSH does: a bishop walks over a field, two bits a step."""
    width, height = 17, 9
    field = [[0] * width for _ in range(height)]
    x, y = width // 2, height // 2
    for byte in digest:
        for shift in (0, 2, 4, 6):
            x = min(max(x + (1 if byte >> shift & 1 else -1), 0), width - 1)
            y = min(max(y + (1 if byte >> shift & 2 else -1), 0), height - 1)
            field[y][x] += 1
    marks = " .o+=*BOX@%&#/^"
    drawn = [[marks[min(count, len(marks) - 1)] for count in row] for row in field]
    drawn[height // 2][width // 2] = "S"
    drawn[y][x] = "E"
    rows = [f"|{''.join(row)}|" for row in drawn]
    return "\n".join([f"+{_centred(title)}+", *rows, f"+{_centred('[SHA256]')}+"])


def _centred(title: str) -> str:
    left = (17 - len(title)) // 2
    return "-" * left + title + "-" * (17 - len(title) - left)
