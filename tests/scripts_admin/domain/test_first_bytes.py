"""What the kernel makes of first bytes; tests/contract has the kernel beside it."""

import pytest

from n2wbackup.lib import terminal
from scripts_admin.domain import first_bytes
from scripts_admin.domain.first_bytes import Elf, Shebang
from scripts_admin.domain.shown import LONGEST, shown
from tests.ground.properties import given, st


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"#!/bin/bash\n", Shebang(b"/bin/bash")),
        (b"#!/bin/bash", Shebang(b"/bin/bash")),
        (b"#! \t/bin/bash \t-e -u \t\n", Shebang(b"/bin/bash", b"-e -u")),
        (b"#!/bin/bash\r\n", Shebang(b"/bin/bash\r")),
        (b"#!/bin/bash\0 -e\n", Shebang(b"/bin/bash")),
        (b"#!/bin/bash -e\0 -u\n", Shebang(b"/bin/bash", b"-e")),
        (b"#!" + b"x" * 253 + b"\n", Shebang(b"x" * 253)),
        (b"#!" + b"x" * 254 + b"\n", None),
        (b"#!" + b"x" * 254, None),
        (b"#!" + b"x" * 250 + b" " + b"y" * 50, Shebang(b"x" * 250, b"yy")),
        (b"#!" + b" " * 300, None),
        (b"#!\n", None),
        (b"", None),
        (b"echo\n", None),
        (b"\x7fELF", None),
    ],
)
def test_the_kernel_reads_one_line_of_at_most_255_bytes(head: bytes, found: Shebang | None) -> None:
    assert first_bytes.read(head) == found


@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd_to_be_judged(rest: bytes) -> None:
    for start in (b"", b"#!", b"#!/", b"\x7fELF", b"\x7fELF\x02\x01"):
        found = first_bytes.read(start + rest)
        if isinstance(found, Elf):
            first_bytes.loader_span(found, rest)


@given(st.binary(max_size=2 * LONGEST))
def test_whatever_others_wrote_is_shown_in_one_harmless_line(raw: bytes) -> None:
    said = shown(raw)
    assert said == shown(raw.decode("utf-8", "surrogateescape"))
    assert said == terminal.line(said)
    assert len(said) <= LONGEST + 1
    said.encode()
