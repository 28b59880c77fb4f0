"""The program that sends messages: `python -m policies.adapters.courier`, one process for one batch.

It reads {"networks": […], "letters": [{"id", "url", "title", "text"}]} from standard input, sends all
letters at once, and writes a line of JSON for each as soon as it is done: {"id", "problem"}, with an
empty problem if it was delivered. A letter without a title is a ping: a single GET. {"check": […]} sends
nothing and reports the problem of each URL.

It is a process of its own, as tenants write the URLs and a library opens them: it can be killed if a
receiver keeps it waiting, has no secrets of the server in its environment or memory, and forbids itself
everything that no message needs.
"""

import json
import logging
import os
import re
import resource
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any

import requests
from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from apprise.manager_plugins import NotificationManager
from apprise.plugins import url_to_dict

from n2wbackup.lib import redaction
from policies.domain.alarms import addresses

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
_MEMORY_BYTES = 1 << 30  # a receiver may answer without end
_CPU_SECONDS = 60
_NOT_FOR_MESSAGES = (
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
    "socket.bind",
    "subprocess.Popen",
)
_READABLE = ("/etc/ssl/", "/etc/pki/", "/usr/share/ca-certificates/", "/usr/share/zoneinfo/")
_AROUND = re.compile(rf"[^\s\"']*{re.escape(redaction.MARK)}[^\s\"'.]*")
_this = threading.local()  # the library's complaints, and a forbidden action, during one letter
_out = threading.Lock()


class ForbiddenError(PermissionError):
    """A message tried a forbidden action; the text names it."""


class _Ear(logging.Handler):
    """Collects the library's complaints; they are not written anywhere."""

    def emit(self, record: logging.LogRecord) -> None:
        """Store the line for the letter that this thread sends."""
        _this.said = [*getattr(_this, "said", []), record.getMessage()]


def main() -> None:
    """Do the job from standard input, and end."""
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [_Ear(logging.WARNING)], False
    logger.setLevel(logging.WARNING)
    logging.raiseExceptions = False
    job = json.load(sys.stdin)
    NotificationManager().load_modules()  # type: ignore[no-untyped-call]
    _forbid([ip_network(each) for each in job.get("networks", [])])
    for url in job.get("check", []):
        _answer({"problem": _heard(lambda url=url: _plugin(url) and "", url)})
    letters = job.get("letters", [])
    with ThreadPoolExecutor(max_workers=max(len(letters), 1)) as pool:
        for letter in letters:
            pool.submit(_carry, letter)


def _carry(letter: dict[str, Any]) -> None:
    send = _notify if letter["title"] else _ping
    _answer({"id": letter["id"], "problem": _heard(lambda: send(letter), letter["url"])})


def _answer(line: dict[str, Any]) -> None:
    with _out:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _heard(act: Any, url: str) -> str:  # noqa: ANN401 - any function that returns a problem
    """Return the problem, in one line that shows nothing of the URL: only the library quotes it."""
    _this.said, _this.forbidden = [], ""
    try:
        problem = act()
    except _WrongUrlError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - an error in a library must not lose the answer
        return str(_this.forbidden) or f"it could not be sent ({type(error).__name__})."
    if problem and _this.forbidden:
        return str(_this.forbidden)
    if problem and _this.said:
        said = redaction.mask(" ".join(" ".join(_this.said).split()), addresses.secrets(url))
        # With the text around it: a part of the URL may be too short to be found by itself.
        problem = _AROUND.sub(redaction.MARK, said)
    return str(problem)[:500]


def _notify(letter: dict[str, Any]) -> str:
    plugin = _plugin(letter["url"])
    kind = NotifyType.WARNING
    if plugin.notify(title=letter["title"], body=letter["text"], notify_type=kind):
        return ""
    return "the receiver did not accept it."


def _plugin(url: str) -> Any:  # noqa: ANN401 - the library names no type for its plugins
    """Return the library's plugin for the URL. _WrongUrlError if the URL is wrong or not allowed."""
    wrong = " ".join(addresses.mistakes([url])).removeprefix("URL 1: ")
    parsed = None if wrong else url_to_dict(url)  # type: ignore[no-untyped-call]
    if parsed is not None:
        # The schema and arguments as the library reads them, not as this code would.
        wrong = addresses.refused(parsed["schema"], parsed.get("qsd") or ())
    if wrong:
        raise _WrongUrlError(wrong)
    made = Apprise.instantiate(url, asset=_asset()) if parsed else None
    if made is None:
        schema = url.partition("://")[0].lower()
        raise _WrongUrlError(
            f"something is missing or wrong in this {schema}:// URL: compare it with apprise's page of {schema}."
        )
    made.socket_connect_timeout, made.socket_read_timeout = CONNECT_SECONDS, ANSWER_SECONDS
    return made


class _WrongUrlError(ValueError):
    """The URL cannot be used; the text is a sentence that does not show it."""


def _asset() -> AppriseAsset:
    """Return settings that let the library send the message, but store, fetch or create nothing else."""
    return AppriseAsset(
        app_id="n2wbackup",
        app_desc="n2wbackup",
        async_mode=False,
        body_format=NotifyFormat.TEXT,
        http_redirects=False,
        pgp_autogen=False,
        pem_autogen=False,
        allow_templates=False,
        secure_logging=True,
    )


def _ping(letter: dict[str, Any]) -> str:
    url = letter["url"]
    wrong = addresses.ping_mistake(url)
    if wrong:
        return wrong
    try:
        with requests.get(
            url,
            timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            allow_redirects=False,
            headers={"User-Agent": "n2wbackup"},
            stream=True,
        ) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        return f"no answer ({type(error).__name__})."
    return "" if status < 300 else f"the receiver answered {status}."  # noqa: PLR2004 - HTTP's own number


def _forbid(networks: list[addresses.Network]) -> None:
    """Limit this process for ever: it reaches only allowed addresses, and writes and starts nothing."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    readable = tuple(f"{os.path.realpath(p)}/" for p in (sys.prefix, sys.base_prefix)) + _READABLE

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"socket.connect", "socket.sendto"}:
            _check_address(arguments[1], networks)
        elif event == "open" and isinstance(arguments[0], str | bytes):
            _check_file(os.fsdecode(arguments[0]), arguments[2], readable)
        elif event in _NOT_FOR_MESSAGES:
            _refuse(f"a message is not allowed to do this ({event}).")

    sys.addaudithook(watch)


def _check_address(address: object, networks: list[addresses.Network]) -> None:
    host = address[0] if isinstance(address, tuple) else ""
    if not addresses.may_reach(str(host), networks):
        _refuse(
            "alarms are not allowed to reach its address (this machine, a link-local or a metadata "
            "address): see N2W_ALARM_NETWORKS."
        )


def _check_file(path: str, flags: int, readable: tuple[str, ...]) -> None:
    writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    if writes or not os.path.realpath(path).startswith(readable):
        _refuse("a message is not allowed to open files of the server.")


def _refuse(sentence: str) -> None:
    _this.forbidden = sentence
    raise ForbiddenError(sentence)


if __name__ == "__main__":
    main()
