"""A real exec of a script by another account, and the judge's verdict beside it."""

import resource
import subprocess
from pathlib import Path
from typing import Any

from scripts_admin.folders import account, judging, storage
from scripts_admin.guard.spool import RunAs
from tests.ground.leeway import LEEWAY

NOBODY = RunAs("nobody", 65534, 65534, (65534,))
ENVIRONMENT = {"PATH": storage.SCRIPT_PATH, "HOME": "/", "USER": "nobody", "LANG": "C.UTF-8"}
MARK = "it ran"
BODY = f"echo {MARK}\n"


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
