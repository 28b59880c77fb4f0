"""Whether a script can run: the judge says the same as a real exec by the script's account, file by file."""

import os
import resource
import shutil
import stat
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts_admin.domain import first_bytes
from scripts_admin.domain.first_bytes import Elf
from scripts_admin.folders import account, judging, storage
from scripts_admin.guard.spool import RunAs
from tests.ground.leeway import LEEWAY

NOBODY = RunAs("nobody", 65534, 65534, (65534,))
ENVIRONMENT = {"PATH": storage.SCRIPT_PATH, "HOME": "/", "USER": "nobody", "LANG": "C.UTF-8"}
MARK = "it ran"
BODY = f"echo {MARK}\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder that every account may enter; pytest's own are closed."""
    made = Path(tempfile.mkdtemp(prefix="n2wbackup-runs-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def no_loop() -> None:
    """A script that starts itself for ever is ended by the kernel, after a second of work."""
    resource.setrlimit(resource.RLIMIT_CPU, (1, 1))


def runs(script: Path, identity: RunAs | None) -> bool:
    """Execute it as the guard does, and tell whether its own lines were reached; of a binary, whether it started."""
    become: dict[str, Any] = {}
    if identity is not None:
        become = {"user": identity.uid, "group": identity.gid, "extra_groups": identity.groups}
    try:
        ended = subprocess.run(
            [script],
            cwd=script.parent,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LEEWAY * 4,
            check=False,
            preexec_fn=no_loop,
            **become,
        )
    except OSError:
        return False
    return MARK.encode() in ended.stdout or (ended.returncode == 0 and not has_body(script))


def has_body(script: Path) -> bool:
    return script.read_bytes().endswith((BODY.encode(), f"{MARK}\n".encode()))


def judged(script: Path, identity: RunAs | None = NOBODY) -> str:
    with account.of(identity) as asked:
        return judging.why_not(script, asked, ENVIRONMENT)


def agree(script: Path, identity: RunAs | None = NOBODY) -> str:
    """Return the judge's sentence, after a real exec has said the same."""
    said = judged(script, identity)
    assert (said == "") == runs(script, identity), said
    assert said.count(". ") == 0
    assert said.isprintable()
    return said


def put(place: Path, text: bytes | str, mode: int = 0o755, name: str = "before_p.sh") -> Path:
    path = place / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


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


def executables() -> Iterator[tuple[str, Callable[[bytearray], None], str]]:
    def patched(at: int, value: bytes) -> Callable[[bytearray], None]:
        def patch(data: bytearray) -> None:
            data[at : at + len(value)] = value

        return patch

    def loader(name: bytes) -> Callable[[bytearray], None]:
        def patch(data: bytearray) -> None:
            found = first_bytes.read(bytes(data))
            assert isinstance(found, Elf)
            span = first_bytes.loader_span(
                found, bytes(data[found.table.start :][: found.table.size])
            )
            assert span is not None
            data[span.start : span.start + span.size] = name.ljust(span.size, b"\0")

        return patch

    other = struct.pack("<H", 183 if os.uname().machine != "aarch64" else 62)
    yield "as it is", patched(0, b"\x7fELF"), ""
    yield "another machine", patched(18, other), "is a program for another machine"
    yield "another class in its name only", patched(4, b"\x01"), ""
    yield "another byte order in its name only", patched(5, b"\x02"), ""
    yield "a machine of the other byte order", patched(16, b"\0\x02\0\x16"), "damaged program"
    yield "an object file", patched(16, struct.pack("<H", 1)), "damaged program"
    yield "no program headers", patched(56, struct.pack("<H", 0)), "damaged program"
    yield "no loader", loader(b"/no/such/loader"), "needs the loader /no/such/loader"
    yield "a loader that is none", loader(b"/etc/passwd"), "loader"

    def endless(data: bytearray) -> None:
        found = first_bytes.read(bytes(data))
        assert isinstance(found, Elf)
        for at in range(found.headers_at, found.headers_at + found.table.size, 56):
            if data[at] == 3:  # PT_INTERP
                data[at + 32 : at + 40] = b"\xff" * 8

    yield "a loader's name without end", endless, "damaged program"
    yield "headers at no place of any file", patched(32, b"\xff" * 8), "damaged program"
    yield "headers behind its end", patched(32, b"\0\0\0\1" + bytes(4)), "damaged program"
    yield "only magic", lambda data: data.__delitem__(slice(4, None)), "damaged program"


@pytest.mark.parametrize(
    ("what", "patch", "sentence"), list(executables()), ids=lambda v: str(v)[:20]
)
@pytest.mark.parametrize("mode", [0o755, 0o711])
def test_a_binary_is_judged_by_its_header(
    place: Path, what: str, patch: Callable[[bytearray], None], sentence: str, mode: int
) -> None:
    data = bytearray(Path("/bin/true").read_bytes())
    patch(data)
    assert sentence in agree(put(place, bytes(data), mode)), what


def acl(path: Path, uid: int, bits: int) -> None:
    """Let one more account use the file: setfacl is not everywhere."""
    own = path.stat().st_mode
    entries = [
        (1, own >> 6 & 7, -1),
        (2, bits, uid),
        (4, own >> 3 & 7, -1),
        (16, 7, -1),
        (32, own & 7, -1),
    ]
    packed = b"".join(
        struct.pack("<HHI", tag, rights, who & 0xFFFFFFFF) for tag, rights, who in entries
    )
    os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + packed)


def test_an_acl_that_grants_is_believed_and_one_that_denies_too(place: Path) -> None:
    script = put(place, f"#!/bin/bash\n{BODY}", 0o700)
    acl(script, NOBODY.uid, 5)
    assert agree(script) == ""
    script.chmod(0o755)
    acl(script, NOBODY.uid, 0)
    assert "is not executable for nobody" in agree(script)


@pytest.mark.parametrize("mode", [0o700, 0o644, 0o711, 0o744, 0o755, 0o111, 0o005, 0o050, 0o000])
@pytest.mark.parametrize("owner", [(0, 0), (65534, 0), (0, 65534)])
@pytest.mark.parametrize("identity", [NOBODY, None], ids=["nobody", "root"])
def test_each_mode_is_judged_as_the_kernel_does(
    place: Path, mode: int, owner: tuple[int, int], identity: RunAs | None
) -> None:
    script = put(place, f"#!/bin/bash\n{BODY}")
    os.chown(script, *owner)
    script.chmod(mode)
    agree(script, identity)


def test_an_interpreter_that_only_root_may_run_is_told(place: Path) -> None:
    shutil.copy("/bin/bash", place / "shell")
    (place / "shell").chmod(stat.S_IRWXU)
    script = put(place, f"#!{place}/shell\n{BODY}")
    assert f"{place}/shell, which nobody may not run" in agree(script)
    assert agree(script, None) == ""


def test_an_interpreter_in_a_closed_folder_is_told_and_not_looked_for(place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)
    for name in ("shell", "nothing"):  # which of both is there is nobody's business
        if name == "shell":
            shutil.copy("/bin/bash", place / "closed/shell")
        said = agree(put(place, f"#!{place}/closed/{name}\n{BODY}"))
        assert said == (
            f"nobody may not enter {place}/closed, so before_p.sh cannot run: give it the x permission there."
        )


def test_a_script_on_a_mount_without_exec_is_told(place: Path) -> None:
    mounted = place / "mounted"
    mounted.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "noexec", "none", mounted], check=False
    ).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        mounted.chmod(0o755)
        assert "is mounted noexec" in agree(put(mounted, f"#!/bin/bash\n{BODY}"))
        shutil.copy("/bin/bash", mounted / "shell")
        assert "is mounted noexec" in agree(put(place, f"#!{mounted}/shell\n{BODY}"))
    finally:
        subprocess.run(["umount", mounted], check=True)


@pytest.fixture
def register(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Register handlers with the kernel for files that only this test has."""
    mounted = place / "handlers"
    mounted.mkdir()
    command = ["mount", "-t", "binfmt_misc", "none", str(mounted)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine has no binfmt_misc that root may mount")
    mounted.chmod(0o755)
    monkeypatch.setattr(judging, "_HANDLERS", mounted)
    names: list[str] = []

    def add(line: str) -> None:
        names.append(f"n2w{os.getpid()}x{len(names)}")
        (mounted / "register").write_text(f":{names[-1]}:{line}")

    try:
        yield add
    finally:
        for name in names:
            (mounted / name).write_text("-1")
        subprocess.run(["umount", mounted], check=True)


def test_a_registered_handler_runs_what_the_kernel_does_not_know(
    place: Path, register: Callable[[str], None]
) -> None:
    script = put(place, f"N2W1test\n{MARK}\n")
    named = put(place, f"{MARK}\n", name="before_q.n2wtest")
    assert "has no interpreter line" in judged(script)
    assert "has no interpreter line" in judged(named)

    register(r"M::N2W0test:\xff\xff\xff\xf0\xff\xff\xff\xff:/bin/cat:")
    register("E::n2wtest::/bin/cat:")

    assert agree(script) == ""
    assert agree(named) == ""
    script.chmod(0o711)
    assert "cannot be read by nobody" in agree(script)
    assert "has no interpreter line" in agree(put(place, f"N2X1test\n{MARK}\n"))


def test_a_handler_that_the_account_may_not_start_is_told_unless_the_kernel_holds_it_open(
    place: Path, register: Callable[[str], None]
) -> None:
    shutil.copy("/bin/cat", place / "cat")
    (place / "cat").chmod(0o700)
    register(f"M::N2W2test::{place}/cat:")
    register(f"M::N2W3test::{place}/cat:F")

    assert "which nobody may not run" in agree(put(place, f"N2W2test\n{MARK}\n"))
    agree(put(place, f"N2W3test\n{MARK}\n"))


def test_a_lost_helper_is_told_and_not_taken_for_a_yes(place: Path) -> None:
    script = put(place, f"#!/bin/bash\n{BODY}")
    other = account.Other(NOBODY)
    other.close()
    assert judging.why_not(script, other, ENVIRONMENT) == ""
    other.close()
    with pytest.raises(account.AccountLostError):
        judging.why_not(script, other, ENVIRONMENT)
