"""Which changes of blanks do not matter."""

import pytest

from scripts_admin.domain import blanks

SHELL = b"#!/bin/bash\nif true; then\n  fsfreeze -f /data\nfi\n"


@pytest.mark.parametrize(
    "other",
    [
        SHELL,
        SHELL.replace(b"\n", b"\r\n"),
        SHELL.replace(b"\n", b" \t\n"),
        SHELL.rstrip(b"\n"),
        SHELL + b"\n\n",
        SHELL.replace(b"  fsfreeze", b"\tfsfreeze"),
    ],
)
def test_line_ends_blanks_behind_a_line_and_indentation_do_not_matter(other: bytes) -> None:
    assert blanks.only_blanks_differ(SHELL, other)
    assert blanks.only_blanks_differ(other, SHELL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"#!/bin/sh\nrm -rf /srv/old\n", b"#!/bin/sh\nrm -rf / srv/old\n"),
        (b"#!/bin/sh\necho a\n", b"#!/bin/sh\necho\na\n"),
        (b"#!/bin/sh\necho a\n", b"#!/bin/sh\necho b\n"),
        # The rest of the script becomes a part of the here-document, or ceases to be one.
        (b"#!/bin/sh\ncat <<E\nE\nthaw\n", b"#!/bin/sh\ncat <<E\nE \nthaw\n"),
        (b"#!/bin/sh\ncat <<E\nE \nrm x\nE\n", b"#!/bin/sh\ncat <<E\nE\nrm x\nE\n"),
        # A blank behind a backslash ends the command there.
        (b"#!/bin/sh\nrm -r x \\\n --dry-run\n", b"#!/bin/sh\nrm -r x \\ \n --dry-run\n"),
        (b"#!/usr/bin/python3\nif a:\n    b()\n", b"#!/usr/bin/python3\nif a:\nb()\n"),
        (b"#!/bin/sh\nx='a\n  b'\n", b"#!/bin/sh\nx='a\nb'\n"),
        (b"#!/bin/sh\necho a\r; rm b\n", b"#!/bin/sh\necho a; rm b\n"),
        (b"#!/usr/bin/perl\n  a;\n", b"#!/usr/bin/perl\na;\n"),
    ],
)
def test_what_could_change_what_a_script_does_matters(one: bytes, other: bytes) -> None:
    assert not blanks.only_blanks_differ(one, other)
    assert not blanks.only_blanks_differ(other, one)
