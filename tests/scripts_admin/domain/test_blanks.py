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
        # Within a string of several lines, however it is written.
        (b"#!/bin/sh\nx='a  \nb'\n", b"#!/bin/sh\nx='a\nb'\n"),
        (b'#!/bin/sh\nx="a \\"\n  b \\" c"\n', b'#!/bin/sh\nx="a \\"\nb \\" c"\n'),
        (b'#!/bin/sh\nx="$(echo "\n  b")"\n', b'#!/bin/sh\nx="$(echo "\nb")"\n'),
        (b'#!/bin/sh\nx="${y:-"\n  b"}"\n', b'#!/bin/sh\nx="${y:-"\nb"}"\n'),
        (b"#!/bin/bash\nx=$'a\\'\n  b\\' '\n", b"#!/bin/bash\nx=$'a\\'\nb\\' '\n"),
        (b"#!/bin/sh\nx=`echo '\n  a'`\n", b"#!/bin/sh\nx=`echo '\na'`\n"),
        (b"#!/bin/sh\nx=\"'\n  '\" y\n", b"#!/bin/sh\nx=\"'\n'\" y\n"),
        # The word sh in the first line makes no shell.
        (
            b"#!/srv/sh/python3\nif a:\n    b()\nc()\n",
            b"#!/srv/sh/python3\nif a:\n    b()\n    c()\n",
        ),
        (
            b"#!/usr/bin/env -S python3 -W ignore::sh\nif a:\n    b()\nc()\n",
            b"#!/usr/bin/env -S python3 -W ignore::sh\nif a:\n    b()\n    c()\n",
        ),
        # Of other languages nobody here knows where blanks matter.
        (b"#!/usr/bin/perl\nprint q{a  \nb};\n", b"#!/usr/bin/perl\nprint q{a\nb};\n"),
        (
            b"#!/usr/bin/perl\nprint <DATA>;\n__DATA__\na\n",
            b"#!/usr/bin/perl\nprint <DATA>;\n__DATA__\na\n\n",
        ),
    ],
)
def test_what_could_change_what_a_script_does_matters(one: bytes, other: bytes) -> None:
    assert not blanks.only_blanks_differ(one, other)
    assert not blanks.only_blanks_differ(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"#!/bin/sh\nx='a'  \n  y=\"$(date) ${z}\"\n", b"#!/bin/sh\nx='a'\ny=\"$(date) ${z}\"\n"),
        (
            b"#!/usr/bin/env bash\n  # it isn't  \nx=`date`\n",
            b"#!/usr/bin/env bash\n# it isn't\n x=`date`\n",
        ),
        (b'#!/bin/bash -eu\nx="a \\"b\\"" \n', b'#!/bin/bash -eu\n  x="a \\"b\\""\n'),
        (
            b"#!/usr/bin/python3\nif a:\n    b()\n",
            b"#!/usr/bin/python3\nif a:  \r\n    b()\r\n\r\n",
        ),
        (b"#!/usr/bin/env python3\na()\n", b"#!/usr/bin/env python3\na()  \n"),
        (b"#!/usr/bin/perl\na;\n", b"#!/usr/bin/perl\r\na;\r\n"),
    ],
)
def test_blanks_outside_of_strings_do_not_matter(one: bytes, other: bytes) -> None:
    assert blanks.only_blanks_differ(one, other)
    assert blanks.only_blanks_differ(other, one)
