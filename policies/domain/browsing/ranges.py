"""Downloads that go on where they were cut: what a browser asks for, and from which byte it is answered. Pure."""

import hashlib
import re
from dataclasses import dataclass

# Of all that HTTP allows, what browsers, curl and wget send to go on. A server may answer all else with the whole.
_FROM = re.compile(r"bytes=([0-9]{1,18})-")


def tag(*parts: object) -> str:
    """Return the strong ETag of what the parts name: the same for the same content, and for nothing else."""
    digest = hashlib.sha256("\0".join(map(repr, parts)).encode())
    return f'"{digest.hexdigest()[:32]}"'


@dataclass(frozen=True, slots=True)
class Wanted:
    """The headers Range and If-Range of a request, as they came."""

    range: str = ""
    only_if: str = ""

    def start(self, of: str) -> int:
        """Return from which byte the content with this tag is sent.

        Whoever has a part of something else gets the whole: two halves of two files are no file.
        """
        found = _FROM.fullmatch(self.range.strip())
        if found is None or (self.only_if and self.only_if.strip() != of):
            return 0
        return int(found[1])
