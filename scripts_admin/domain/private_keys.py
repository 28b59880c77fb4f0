"""Whether bytes hold a private key: OpenSSH, PEM, PKCS #8, PGP, PuTTY, SSH2, age, minisign. A pure function."""

import re

_KEY = re.compile(
    rb"BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)? ?-{4,5}.{0,600}?[A-Za-z0-9+/=]{40}"  # PEM, OpenSSH, PGP, SSH2
    rb"|PuTTY-User-Key-File-[0-9]"
    rb"|SSH PRIVATE KEY FILE FORMAT"
    rb"|openssh-key-v1\x00"
    rb"|b3BlbnNzaC1rZXktdjE[A-P]"  # the same in base64, without its first line
    rb"|AGE-SECRET-KEY-1[A-Z0-9]{16}"
    rb"|minisign encrypted secret key"
    rb"|untrusted comment: signify secret key",
    re.DOTALL,
)


def is_in(content: bytes) -> bool:
    """Tell whether there is a private key in it, whatever is around it. To speak of keys is no key."""
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:  # UTF-16
        content = content.replace(b"\0", b"")
    return _KEY.search(content) is not None
