"""Which first lines work: the judge says the same as a real exec by the script's account, line by line."""

import os
import shutil
from pathlib import Path

import pytest

from scripts_admin.domain import first_bytes
from scripts_admin.folders import storage
from tests.contract.executing import BODY, MARK, agree, put

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


LINES_THAT_RUN = [
    b"#!/bin/bash\n",
    b"#! \t /bin/bash \t \n",
    b"#!/bin/bash -e\n",
    b"#!/bin/bash -eu  \n",
    b"#!/bin/sh -\n",
    b"#!/bin/sh --\n",
    b"#!/bin/sh +e\n",
    b"#!/bin/bash -abefhkmpruvxBCEHPT\n",
    b"#!/bin/bash -l\n",
    b"#!/bin/dash -abefmpuvxCEIl\n",
    b"#!/bin/bash --norc\n",
    b"#!/bin/sh\0 -e\n",
    b"#!/bin/sh\0\n",
    b"#!/bin/sh -e\0 what the kernel does not see\n",
    b"#!/bin/bash " + b" " * 70 + b"-e\n",
    b"#!/usr/bin/env bash\n",
    b"#!/usr/bin/env -S bash -e\n",
    b"#!/usr/bin/env -S bash -e \r\n",
    b"#!/usr/bin/env -S  'bash' \"-e\" # a comment\n",
    b"#!/usr/bin/env -S bash\\_-e\n",
    b"#!/usr/bin/env -S bash \\c ignored\n",
    b"#!/usr/bin/env -S -i bash -e\n",
    b"#!/usr/bin/env -iS bash\n",
    b"#!/usr/bin/env -vS bash\n",
    b"#!/usr/bin/env -S -u HOME A=b bash\n",
    b"#!/usr/bin/env -S --unset=HOME bash\n",
    b"#!/usr/bin/env -S --unset HOME -- bash\n",
    b"#!/usr/bin/env -S --ignore-env bash\n",
    b"#!/usr/bin/env -S - bash\n",
    b"#!/usr/bin/env -S PATH=/nowhere /bin/bash\n",
    b"#!/usr/bin/env -S -C / bash\n",
    b"#!/usr/bin/env -S --chdir=/bin ./bash\n",
    b"#!/usr/bin/env --split-string=bash -e\n",
    b"#!/usr/bin/env -Sbash\n",
    b"#!/usr/bin/env -S env -S 'env bash'\n",
    b"#!/usr/bin/env -S X${USER}Y=1 bash\n",
    b"#!/usr/bin/env -S --default-signal=PIPE bash\n",
    b"#!/usr/bin/env -S --ignore-signal bash\n",
]
LINES_THAT_FAIL = [
    b"",
    b"\n",
    b"\n#!/bin/bash\n",
    b" #!/bin/bash\n",
    b"\xef\xbb\xbf#!/bin/bash\n",
    b"#!\n",
    b"#! \t\n",
    b"#! " + b" " * 300 + b"/bin/bash\n",
    b"#!/" + b"x" * 300 + b"\n",
    b"#!/bin/bash\r\n",
    b"#!/bin/bash -e\r\n",
    b"#!/bin/bash \r\n",
    b"#!/bin/bash\0\n",
    b"#!/bin/bash\0 -e\n",
    b"#!/usr/bin/env bash\0\n",
    b"#!/bin/sh \0-x\n",
    b"#!/bin/bash -e -u\n",
    b"#!/bin/bash -euo pipefail\n",
    b"#!/bin/bash -euo\n",
    b"#!/bin/bash -c\n",
    b"#!/bin/bash -n\n",
    b"#!/bin/bash -es\n",
    b"#!/bin/bash -O\n",
    b"#!/bin/bash more\n",
    b"#!/bin/sh -vS\n",
    b"#!/bin/sh \xff\n",
    b"#!/no/such\n",
    b"#!bash\n",
    b"#!/bin\n",
    b"#!/etc/passwd\n",
    b"#!/etc/passwd/bash\n",
    b"#!/usr/bin/env\n",
    b"#!/usr/bin/env bash -e\n",
    b"#!/usr/bin/env nosuchthing\n",
    b"#!/usr/bin/env -i\n",
    b"#!/usr/bin/env -i bash\n",
    b"#!/usr/bin/env -u HOME bash\n",
    b"#!/usr/bin/env -S\n",
    b"#!/usr/bin/env -S # bash\n",
    b"#!/usr/bin/env -S A=b\n",
    b"#!/usr/bin/env -S PATH=/nowhere bash\n",
    b"#!/usr/bin/env -S 'bash\n",
    b"#!/usr/bin/env -S bash \\q\n",
    b"#!/usr/bin/env -S $SHELL\n",
    b"#!/usr/bin/env -S ${NOSUCH}\n",
    b"#!/usr/bin/env -S --nosuch bash\n",
    b"#!/usr/bin/env -S -0 bash\n",
    b"#!/usr/bin/env -S -u A=b bash\n",
    b"#!/usr/bin/env -S -C /no/such bash\n",
    b"#!/usr/bin/env -S nosuch \\c bash\n",
    b"#!/usr/bin/env --split-string bash\n",
    b"#!/usr/bin/env --version\n",
    b"#!/usr/bin/env A=b bash\n",
    b"#!/usr/bin/env \x1b[31mred\n",
    b"#!/usr/bin/env -\xff\n",
]


@pytest.mark.parametrize("line", LINES_THAT_RUN, ids=ascii)
def test_a_first_line_that_works_is_judged_fine(place: Path, line: bytes) -> None:
    assert agree(put(place, line + BODY.encode())) == ""


@pytest.mark.parametrize("line", LINES_THAT_FAIL, ids=ascii)
def test_a_first_line_that_fails_is_judged_so(place: Path, line: bytes) -> None:
    said = agree(put(place, line + (BODY.encode() if line else b"")))
    assert said.startswith("before_p.sh ")


@pytest.mark.parametrize(
    "options", ["", "-u", "-uEs", "-", "-W ignore", "-u -E", "-u\r", "-c", "-m", "more"]
)
def test_python_gets_one_argument_like_every_interpreter(place: Path, options: str) -> None:
    python = shutil.which("python3", path=storage.SCRIPT_PATH)
    assert python is not None
    said = agree(put(place, f'#!{python} {options}\nprint("{MARK}")\n# {MARK}\n'))
    assert (said != "") == (options in ("-", "-u -E", "-u\r", "-c", "-m", "more"))


@pytest.mark.parametrize("size", range(250, 260))
def test_a_path_is_cut_where_the_kernel_cuts_it(place: Path, size: int) -> None:
    line = b"#!" + b"/" * (size - 2 - len("bin/bash")) + b"bin/bash"
    agree(put(place, line + b"\n" + BODY.encode()))
    agree(put(place, line + b" -e\n" + BODY.encode()))
    agree(put(place, line))


@pytest.mark.parametrize("depth", [1, 4, 5, 6])
def test_interpreters_that_are_scripts_are_followed_as_deep_as_the_kernel_goes(
    place: Path, depth: int
) -> None:
    last = "/bin/bash"
    for number in range(depth - 1):
        last = str(put(place, f'#!{last}\n. "${{@: -1}}"\n', name=f"i{number}"))
    said = agree(put(place, f"#!{last}\n{BODY}"))
    assert ("too many interpreters" in said) == (depth > first_bytes.DEEPEST)


def test_an_interpreter_that_is_a_script_must_be_readable_too(place: Path) -> None:
    inner = put(place, '#!/bin/bash\n. "$1"\n', 0o711, name="inner")
    assert "which nobody may not run" in agree(put(place, f"#!{inner}\n{BODY}"))


def test_a_relative_interpreter_is_looked_for_in_the_scripts_folder(place: Path) -> None:
    put(place, '#!/bin/bash\n. "$1"\n', name="own")
    assert agree(put(place, f"#!./own\n{BODY}")) == ""


def test_env_takes_the_first_program_that_it_may_start(place: Path) -> None:
    (place / "a").mkdir()
    (place / "b").mkdir()
    put(place / "a", "#!/bin/bash\nexit 3\n", 0o644, name="shell")
    put(
        place / "b", '. "$1"\n', name="shell"
    )  # execvp hands a text without a first line to /bin/sh
    line = f"#!/usr/bin/env -S PATH={place}/a:{place}/b:/bin shell\n"
    assert agree(put(place, line + BODY)) == ""
