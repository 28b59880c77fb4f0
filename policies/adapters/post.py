"""Messages handed to a courier, a process of its own that is ended where it takes too long."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings

DEADLINE_SECONDS = 45.0
CHECK_SECONDS = 15.0
_END_SECONDS = 1.0
_ROOT = Path(__file__).resolve().parents[2]
# What it takes to reach the world. HOME is nowhere: requests would send what a .netrc holds to whom a tenant names.
_KEPT = ("LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
TOO_LATE = "it took too long, and was given up this time."


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one URL; without a title it is a ping."""

    id: int
    url: str
    title: str = ""
    text: str = ""


def carry(letters: Sequence[Letter], seconds: float = DEADLINE_SECONDS) -> Mapping[int, str]:
    """Send the letters at once; return what was wrong with each, by id, "" where it was delivered.

    Returns after `seconds` at the latest. A letter whose end is not known may have been delivered.
    """
    if not letters:
        return {}
    lines = _courier({"letters": [asdict(letter) for letter in letters]}, seconds)
    known = {line["id"]: str(line["problem"]) for line in lines if "id" in line}
    return {letter.id: known.get(letter.id, TOO_LATE) for letter in letters}


def check(urls: Sequence[str], seconds: float = CHECK_SECONDS) -> list[str]:
    """Return what is wrong with each URL, "" where nothing is; nothing is sent."""
    if not urls:
        return []
    answers = [str(line["problem"]) for line in _courier({"check": list(urls)}, seconds)]
    return answers + ["it could not be checked in time: try again."] * (len(urls) - len(answers))


def _courier(job: dict[str, object], seconds: float) -> Iterable[dict[str, object]]:
    job["networks"] = [str(each) for each in settings.N2W_ALARM_NETWORKS]
    process = subprocess.Popen(
        # -B: on a frozen disk of our own even its byte code could not be written.
        [sys.executable, "-B", "-m", "policies.adapters.courier"],
        cwd=_ROOT,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    return list(_lines(_communicate(process, json.dumps(job), seconds)))


def _communicate(process: "subprocess.Popen[str]", job: str, seconds: float) -> str:
    try:
        return process.communicate(job, timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.kill()
    with suppress(subprocess.TimeoutExpired):
        return process.communicate(timeout=_END_SECONDS)[0]
    # It waits for a disk, and cannot be killed before that answers. Nobody waits with it.
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    return ""


def _lines(said: str) -> Iterable[dict[str, object]]:
    for line in said.splitlines():
        with suppress(json.JSONDecodeError):  # it was ended while it wrote
            yield json.loads(line)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept |= {n.lower(): os.environ[n.lower()] for n in _KEPT if n.lower() in os.environ}
    return {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **kept}
