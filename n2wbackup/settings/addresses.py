"""URLs and host names of the settings: taken apart once, and refused with a sentence that holds no secret.

A URL holds a password, so no sentence repeats a URL or a part of one that may belong to the password.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from django.core.exceptions import ImproperlyConfigured

_ENCODED = "write the password's @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25"
_TLS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
_UNVERIFIED = {"none", "cert_none"}
_BROKERS = {
    "redis": "redis",
    "valkey": "redis",
    "rediss": "rediss",
    "valkeys": "rediss",
    "unix": "unix",
    "redis+socket": "unix",
    "valkey+socket": "unix",
}
_BROKER_FORM = "write redis://:password@host:6379/0, rediss://… for TLS, or unix:///path/to/socket"
_HOST = re.compile(r"\.?[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]+\]")
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Parts:
    """A URL's decoded parts; `options` is its query."""

    scheme: str
    user: str
    password: str
    host: str
    port: int | None
    path: str
    options: dict[str, str]


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker as both libraries read it; `is_verified`: nobody else can answer in its place."""

    url: str  # for the client
    queue_url: str  # for Celery
    is_verified: bool


def parts(name: str, url: str, form: str) -> Parts:
    """Take the URL of the setting `name` apart; ImproperlyConfigured says how to write it."""
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme or any(blank in url for blank in (" ", "\t", "\n")):
        raise _wrong(name, f"is not a URL without spaces: {form}")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if authority.count("@") > 1 or (not rest.startswith("/") and "@" in rest[len(authority) :]):
        raise _wrong(name, f"has a character in its password that is not encoded: {_ENCODED}")
    if re.search(r"%(?![0-9A-Fa-f]{2})", rest):
        raise _wrong(name, f"has a % that encodes nothing: {_ENCODED}")
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError:
        raise _wrong(
            name,
            f"has a host or a port (1 to {_LAST_PORT}) that cannot be read; if they are right, {_ENCODED}",
        ) from None
    if found.fragment:
        raise _wrong(name, f"has a # in it: {_ENCODED}")
    # urlsplit makes the host lower case, also where it is the encoded path of a socket.
    host = authority.rpartition("@")[2]
    host = re.sub(r":[0-9]*$", "", host).removeprefix("[").removesuffix("]")
    return Parts(
        scheme=scheme.lower(),
        user=unquote(found.username or ""),
        password=unquote(found.password or ""),
        host=unquote(host),
        port=port,
        path=unquote(found.path),
        options=dict(parse_qsl(found.query, keep_blank_values=True)),
    )


def broker(url: str) -> Broker:
    """Return the broker that REDIS_URL names; ImproperlyConfigured says how to write it."""
    found = parts("REDIS_URL", url, _BROKER_FORM)
    if "sentinel" in found.scheme or "cluster" in found.scheme:
        raise _wrong(
            "REDIS_URL",
            "names Sentinel or a cluster, which are not supported: name one server that does not move (a service "
            "name, or a proxy in front of Sentinel), such as redis://:password@host:6379/0",
        )
    kind = _BROKERS.get(found.scheme)
    if kind is None:
        raise _wrong("REDIS_URL", f"has the scheme {found.scheme[:20]!r}: {_BROKER_FORM}")
    known = {"db", "virtual_host", *(_TLS if kind == "rediss" else ())}
    unknown = sorted(set(found.options) - known)
    if unknown:
        raise _wrong(
            "REDIS_URL",
            f"has options after its ? that are not known here; allowed are {', '.join(sorted(known))}",
        )
    return _by_socket(found) if kind == "unix" else _by_network(found, kind)


def _login(found: Parts) -> str:
    user, password = quote(found.user, safe=""), quote(found.password, safe="")
    return f"{user}:{password}@" if user or password else ""


def _number(found: Parts, path: str) -> str:
    number = found.options.get("db") or found.options.get("virtual_host") or path or "0"
    if not number.isascii() or not number.isdecimal():
        raise _wrong(
            "REDIS_URL", "ends in something that is not the number of a database: write …/0"
        )
    return number


def _by_socket(found: Parts) -> Broker:
    if found.host or not found.path.strip("/"):
        raise _wrong(
            "REDIS_URL", "needs the whole path of the socket: write unix:///path/to/socket"
        )
    number, path = _number(found, ""), quote(found.path)
    return Broker(
        f"unix://{_login(found)}{path}?db={number}",
        f"redis+socket://{_login(found)}{path}?virtual_host={number}",
        is_verified=True,
    )


def _by_network(found: Parts, kind: str) -> Broker:
    number, host = _number(found, found.path.strip("/")), found.host or "localhost"
    if "/" in host:
        raise _wrong("REDIS_URL", "has a path in place of a host: write unix:///path/to/socket")
    shown = f"[{host}]" if ":" in host else host
    port = f":{found.port}" if found.port else ""
    url = f"{kind}://{_login(found)}{shown}{port}/{number}"
    if kind == "redis":
        return Broker(url, url, is_verified=False)
    wish = found.options.get("ssl_cert_reqs", "required").lower()
    if wish not in {*_UNVERIFIED, "required", "cert_required", "optional", "cert_optional"}:
        raise _wrong("REDIS_URL", "has an unknown ssl_cert_reqs: write required, or none")
    checks_host = found.options.get("ssl_check_hostname", "true").lower()
    if checks_host not in {"true", "false"}:
        raise _wrong("REDIS_URL", "has an unknown ssl_check_hostname: write true, or false")
    is_verified = wish not in _UNVERIFIED
    given = {name: value for name, value in found.options.items() if name in _TLS}
    # Celery verifies nothing unless it is told to.
    given["ssl_cert_reqs"] = "required" if is_verified else "none"
    given["ssl_check_hostname"] = checks_host if is_verified else "false"
    whole = f"{url}?{urlencode(given, quote_via=quote)}"
    # A certificate that is good for any name is everybody's who has one.
    return Broker(whole, whole, is_verified=is_verified and checks_host == "true")


def host_names(words: list[str]) -> list[str]:
    """Return ALLOWED_HOSTS as Django takes them; ImproperlyConfigured says how to write a wrong one."""
    for word in words:
        if word == "*" or _HOST.fullmatch(word) or _IPV6.fullmatch(word):
            continue
        raise ImproperlyConfigured(f"ALLOWED_HOSTS has {word!r}: write {_host_in(word)}.")
    return words


def _host_in(word: str) -> str:
    plain = word.strip("\"'[]()").removeprefix("*")
    if plain.count(":") > 1 and "://" not in plain:
        return f"an IPv6 address in brackets, such as [{plain}]"
    bare = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://", "", plain)
    bare = re.sub(r":[0-9]*$", "", re.split(r"[/?#]", bare, maxsplit=1)[0])
    if _HOST.fullmatch(bare):
        return f"only the host name, {bare}, without scheme, port and path"
    return "host names with commas between them, such as backup.example.org, .example.com"


def _wrong(name: str, what: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name} {what}.")
