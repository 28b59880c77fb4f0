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
import socket
import ssl
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from apprise.manager_plugins import NotificationManager
from apprise.plugins import url_to_dict

from n2wbackup.lib import own_addresses, reach, redaction
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
_METHODS = frozenset({"CONNECT", "GET", "POST"})
# The head of a request; what is sent after it is the body.
_HEAD = re.compile(rb"\A([!-~]+) ([!-~]+) HTTP/1\.[01]\r\n")
UNTRUSTED = (
    "its certificate is not trusted: add the CA that signed it to the file that SSL_CERT_FILE or "
    "REQUESTS_CA_BUNDLE names."
)
NO_CAS = "the CA file that SSL_CERT_FILE or REQUESTS_CA_BUNDLE names cannot be read: correct that setting."
_this = threading.local()  # the library's complaints, and a forbidden action, during one letter
_out = threading.Lock()


class ForbiddenError(PermissionError):
    """A message tried a forbidden action; the text names it."""


class _Ear(logging.Handler):
    """Collects the library's complaints; they are not written anywhere."""

    def emit(self, record: logging.LogRecord) -> None:
        """Store the line for the letter that this thread sends, and the reason that only a detail names."""
        line = record.getMessage()
        if "CERTIFICATE_VERIFY_FAILED" in line:
            _this.problem = UNTRUSTED
        if record.levelno >= logging.WARNING:
            _this.said = [*getattr(_this, "said", []), line]


def main() -> None:
    """Do the job from standard input, and end."""
    listen()
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


def listen() -> None:
    """Hear what the library says, and let nobody else hear it."""
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [_Ear(logging.DEBUG)], False
    logger.setLevel(logging.DEBUG)


def _carry(letter: dict[str, Any]) -> None:
    send = _notify if letter["title"] else _ping
    _answer({"id": letter["id"], "problem": _heard(lambda: send(letter), letter["url"])})


def _answer(line: dict[str, Any]) -> None:
    with _out:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _heard(act: Any, url: str) -> str:  # noqa: ANN401 - any function that returns a problem
    """Return the problem, in one line that shows nothing of the URL: only the library quotes it."""
    _this.said, _this.forbidden, _this.problem = [], "", ""
    try:
        problem = act()
    except _WrongUrlError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - an error in a library must not lose the answer
        ours = _this.forbidden or _this.problem or _of_certificates(error)
        return str(ours) or f"it could not be sent ({type(error).__name__})."
    if problem and (_this.forbidden or _this.problem):
        return str(_this.forbidden or _this.problem)
    if problem and _this.said:
        said = redaction.mask(" ".join(" ".join(_this.said).split()), addresses.secrets(url))
        # With the text around it: a part of the URL may be too short to be found by itself.
        problem = _AROUND.sub(redaction.MARK, said)
    return str(problem)[:500]


def _of_certificates(error: BaseException | None) -> str:
    """Return the sentence for an error about certificates, whatever it is wrapped in; else nothing."""
    files = [os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")]
    if isinstance(error, OSError) and any(name and not os.access(name, os.R_OK) for name in files):
        return NO_CAS
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ssl.SSLCertVerificationError) or "VERIFY_FAILED" in str(error):
            return UNTRUSTED
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return ""


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
    schema = url.partition("://")[0].lower()
    if parsed is not None:
        # The schema and arguments as the library reads them, not as this code would.
        wrong = addresses.refused(parsed["schema"], _arguments(parsed))
    elif schema == "https" and not wrong:
        wrong = addresses.unknown(schema)
    if wrong:
        raise _WrongUrlError(wrong)
    made = Apprise.instantiate(url, asset=_asset()) if parsed else None
    if made is None:
        raise _WrongUrlError(
            f"something is missing or wrong in this {schema}:// URL: compare it with apprise's page of {schema}."
        )
    made.socket_connect_timeout, made.socket_read_timeout = CONNECT_SECONDS, ANSWER_SECONDS
    return made


def _arguments(parsed: dict[str, Any]) -> list[str]:
    """Return the names of a URL's arguments; headers are named twice, in two ways of reading them."""
    query = dict(parsed.get("qsd") or {})
    if str(query.get("method", "")).upper() == "POST":
        del query["method"]  # that is what is done anyway
    return [*query, *(f"+{name}" for name in parsed.get("qsd+") or {})]


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
    parts = urlsplit(url)
    # Both in UTF-8, as RFC 7617 has it; the library would take Latin-1.
    who = tuple(unquote(word or "").encode() for word in (parts.username, parts.password))
    try:
        with requests.get(
            parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
            auth=who if "@" in parts.netloc else None,  # type: ignore[arg-type] # it takes bytes, too
            timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            allow_redirects=False,
            headers={"User-Agent": "n2wbackup"},
            stream=True,
        ) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        return _of_certificates(error) or f"no answer ({type(error).__name__})."
    return "" if status < 300 else f"the receiver answered {status}."  # noqa: PLR2004 - HTTP's own number


def _forbid(networks: list[reach.Network]) -> None:
    """Limit this process for ever: it reaches only allowed addresses, and writes and starts nothing."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    readable = tuple(f"{os.path.realpath(p)}/" for p in (sys.prefix, sys.base_prefix)) + _READABLE

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if getattr(_this, "asks_for_own", False):
            return
        if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
            if arguments[1] is not None or event == "socket.connect":
                _check_address(arguments[1], networks)
        elif event == "http.client.send" and isinstance(arguments[1], bytes | bytearray):
            _check_request(bytes(arguments[1]), networks)
        elif event == "open" and isinstance(arguments[0], str | bytes):
            _check_file(os.fsdecode(arguments[0]), arguments[2], readable)
        elif event in _NOT_FOR_MESSAGES:
            _refuse(f"a message is not allowed to do this ({event}).")

    sys.addaudithook(watch)


def _check_address(address: object, networks: list[reach.Network]) -> None:
    """Check the address that is really connected to: whatever a name resolves to, and however it is written."""
    host = address[0] if isinstance(address, tuple) else ""
    if not reach.may_reach(str(host), networks, _is_own):
        _refuse(
            "alarms are not allowed to reach its address (this machine, a link-local or a metadata "
            "address): see N2W_ALARM_NETWORKS."
        )


def _is_own(address: reach.Address) -> bool:
    _this.asks_for_own = True  # the question itself is not watched
    try:
        return own_addresses.is_own(address)
    finally:
        _this.asks_for_own = False


def _check_request(data: bytes, networks: list[reach.Network]) -> None:
    """Check the head of a request as it is sent: its method, and the receiver that a proxy is asked for."""
    head = _HEAD.match(data)
    if head is None:
        return
    method, target = head[1].decode(), head[2].decode()
    if method not in _METHODS:
        _refuse(f"a message is not allowed to be sent by {method[:10]}.")
    if target.startswith("/"):
        return
    asked = urlsplit(target if "://" in target else f"//{target}").hostname or ""
    for address in _resolved(asked):
        _check_address(address, networks)


def _resolved(name: str) -> list[object]:
    """Return the addresses of the name; none if only the proxy knows it, or nobody answers soon."""
    found: list[object] = []

    def ask() -> None:
        with suppress(OSError):
            found.extend(
                each[4] for each in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            )

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(CONNECT_SECONDS)
    return list(found)


def _check_file(path: str, flags: int, readable: tuple[str, ...]) -> None:
    writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    if writes or not os.path.realpath(path).startswith(readable):
        _refuse("a message is not allowed to open files of the server.")


def _refuse(sentence: str) -> None:
    _this.forbidden = sentence
    raise ForbiddenError(sentence)


if __name__ == "__main__":
    main()
