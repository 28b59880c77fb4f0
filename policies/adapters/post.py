"""Messages for a courier, a process of its own that is killed if it takes too long."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings

from n2wbackup.lib import terminal

DEADLINE_SECONDS = 45.0
CHECK_SECONDS = 15.0
_END_SECONDS = 1.0
_ROOT = Path(__file__).resolve().parents[2]
# Enough to reach the network. HOME does not exist: requests would send passwords of a .netrc to a tenant's host.
_KEPT = ("LANG", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# The trusted CAs, for webhooks and pings (requests) and for mail (OpenSSL): what is set for one holds for both.
_CAS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
TOO_LATE = "it took too long; this attempt was stopped."


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one URL; without a title it is a ping."""

    id: int
    url: str
    title: str = ""
    text: str = ""


def carry(letters: Sequence[Letter], seconds: float = DEADLINE_SECONDS) -> Mapping[int, str]:
    """Send the letters in parallel; return the problem of each, by id, "" if it was delivered.

    Returns soon after `seconds` at the latest. A letter without a known result may have been delivered.
    """
    if not letters:
        return {}
    lines = _courier({"letters": [_harmless(letter) for letter in letters]}, seconds)
    known = {line["id"]: terminal.line(str(line["problem"])) for line in lines if "id" in line}
    return {letter.id: known.get(letter.id, TOO_LATE) for letter in letters}


def _harmless(letter: Letter) -> dict[str, object]:
    """Return the letter; what others wrote in its title or text does nothing to whoever opens it."""
    more = {"title": terminal.line(letter.title), "text": terminal.block(letter.text)}
    return asdict(letter) | more


def check(urls: Sequence[str], seconds: float = CHECK_SECONDS) -> list[str]:
    """Return the problem of each URL, "" if there is none; nothing is sent."""
    if not urls:
        return []
    answers = [str(line["problem"]) for line in _courier({"check": list(urls)}, seconds)]
    return answers + ["it could not be checked in time: try again."] * (len(urls) - len(answers))


def _courier(job: dict[str, object], seconds: float) -> Iterable[dict[str, object]]:
    job["networks"] = [str(each) for each in settings.N2W_ALARM_NETWORKS]
    process = subprocess.Popen(
        # -B: if the server's own disk is frozen, not even byte code can be written.
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
    # It waits for a disk and cannot be killed until the disk answers. This process does not wait for it.
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    return ""


def _lines(said: str) -> Iterable[dict[str, object]]:
    for line in said.splitlines():
        with suppress(json.JSONDecodeError):  # it was killed while it wrote the line
            yield json.loads(line)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept |= {n.lower(): os.environ[n.lower()] for n in _KEPT if n.lower() in os.environ}
    return {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **kept, **_trusted(os.environ)}


def _trusted(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for the trusted CAs; a bundle may be a file, or a folder with hashed names."""
    named = {
        name: str(Path(environment[name]).absolute())  # the courier has another working folder
        for name in _CAS
        if environment.get(name)
    }
    of_requests = named.get("REQUESTS_CA_BUNDLE") or named.get("CURL_CA_BUNDLE")
    folder = named.get("SSL_CERT_DIR")
    if of_requests and Path(of_requests).is_dir():
        folder = folder or of_requests
    file = named.get("SSL_CERT_FILE") or (of_requests if of_requests != folder else None)
    bundle = of_requests or file or folder
    found = {"REQUESTS_CA_BUNDLE": bundle, "SSL_CERT_FILE": file, "SSL_CERT_DIR": folder}
    return {name: value for name, value in found.items() if value}
