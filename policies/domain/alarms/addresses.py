"""The allowed URLs of alarms: their kinds, their arguments, and how they are masked. Pure.

A tenant writes a URL, and the server opens it. So both lists name what is allowed: a kind or an argument
that is not in them could read files, run programs or keep the server waiting.
"""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote, urlsplit

MOST = 10
MAX_LENGTH = 2_000
_SCHEMA = re.compile(r"([a-z][a-z0-9]{0,19})://\S*", re.IGNORECASE)
_KEY = re.compile(r"[a-z_-]{1,20}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
# Headers, payload and query of webhooks are named by a first character.
_FREE = {"+": "headers", "-": "query", ":": "payload"}
_EVERYWHERE = frozenset({"format", "overflow", "verify"})
_MAIL = frozenset(["bcc", "cc", "from", "mode", "name", "pass", "reply", "smtp", "to", "user"])
_WEBHOOK = frozenset({"method", *_FREE})
_ARGUMENTS: dict[str, frozenset[str]] = {
    "mailto": _MAIL,
    "mailtos": _MAIL,
    "json": _WEBHOOK,
    "jsons": _WEBHOOK,
    "xml": _WEBHOOK,
    "xmls": _WEBHOOK,
    "form": _WEBHOOK,
    "forms": _WEBHOOK,
    "slack": frozenset(["blocks", "footer", "image", "mode", "timestamp", "to", "token"]),
    "discord": frozenset(["avatar", "fields", "footer", "image", "thread", "tts"]),
    "workflows": frozenset(
        ["api-version", "id", "image", "powerautomate", "pa", "route", "sig", "ver", "wrap"]
    ),
    "tgram": frozenset(["content", "image", "mdv", "preview", "silent", "thread", "to", "topic"]),
    "sns": frozenset(["access", "region", "secret", "to"]),
    "ses": frozenset(["access", "bcc", "cc", "from", "name", "region", "reply", "secret", "to"]),
    "pagerduty": frozenset(["class", "click", "group", "image", "region", "severity", "+"]),
    "opsgenie": frozenset(["alias", "entity", "priority", "region", "tags", "to", "+"]),
    "pover": frozenset(["expire", "priority", "sound", "to"]),
    "ntfy": frozenset(["auth", "click", "image", "mode", "priority", "to", "token", "xtags"]),
    "ntfys": frozenset(["auth", "click", "image", "mode", "priority", "to", "token", "xtags"]),
    "gotify": frozenset({"priority"}),
    "gotifys": frozenset({"priority"}),
    "mmost": frozenset(["botname", "channel", "channels", "image", "mode", "team", "to"]),
    "mmosts": frozenset(["botname", "channel", "channels", "image", "mode", "team", "to"]),
    "rocket": frozenset(["avatar", "mode", "to", "webhook"]),
    "rockets": frozenset(["avatar", "mode", "to", "webhook"]),
    "gchat": frozenset(["key", "thread", "token", "workspace"]),
    "wxteams": frozenset(["mode", "to", "token"]),
    "twilio": frozenset(["apikey", "from", "sid", "to", "token"]),
    "zulip": frozenset(["to", "token"]),
    "signl4": frozenset(["alerting_scenario", "filtering", "location", "service"]),
    "splunk": frozenset(["apikey", "entity_id", "route", "routing_key"]),
}
SCHEMAS = tuple(_ARGUMENTS)
_NAMES = frozenset().union(*_ARGUMENTS.values())
# In all others, a token is in the place of the host.
_WITH_HOST = frozenset(s for s in SCHEMAS if s.rstrip("s") in {
    "mailto", "json", "xml", "form", "ntfy", "gotify", "mmost", "rocket",
})  # fmt: skip
# Besides the link-local addresses, clouds give out the server's own credentials at these.
_METADATA = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})

_THIS_NETWORK = ip_network("0.0.0.0/8")
Network = IPv4Network | IPv6Network


def split(text: str) -> list[str]:
    """Return the URLs of a text, separated by line breaks or blanks, each once."""
    return list(dict.fromkeys(text.split()))


def mistakes(urls: Iterable[str]) -> list[str]:
    """Return a sentence for each mistake in the form of the URLs; no sentence shows a URL."""
    urls = list(urls)
    found = [
        f"URL {number}: {wrong}" for number, url in enumerate(urls, 1) for wrong in _wrong(url)
    ]
    if len(urls) > MOST:
        found.append(f"There are {len(urls)} URLs, but at most {MOST} are allowed: remove some.")
    return found


def _wrong(url: str) -> Iterator[str]:
    match = _SCHEMA.fullmatch(url)
    if len(url) > MAX_LENGTH:
        yield f"it is longer than {MAX_LENGTH} characters: shorten it."
    elif match is None or not url.isprintable():
        yield "it is not a URL: write one such as mailtos://…, jsons://… or slack://…."
    elif match[1].lower() not in _ARGUMENTS:
        kind = match[1].lower()
        hint = " Webhooks are written as json:// and jsons://." if kind in {"http", "https"} else ""
        yield f"alarms cannot be sent by {kind}://: write one of {', '.join(SCHEMAS)}.{hint}"


def refused(schema: str, keys: Iterable[str]) -> str:
    """Return a sentence if a URL of this kind may not have one of these arguments, else nothing."""
    if schema not in _ARGUMENTS:
        return f"alarms cannot be sent by {schema}://: write one of {', '.join(SCHEMAS)}."
    allowed = _ARGUMENTS[schema] | _EVERYWHERE
    for key in keys:
        if key[:1] in _FREE.keys() & allowed or key.lower() in allowed:
            continue
        name = key if _KEY.fullmatch(key) else "one of the arguments"  # it may be part of a secret
        return f"{schema}:// does not allow {name} here: remove it."
    return ""


def ping_mistake(url: str) -> str:
    """Return a sentence if the ping URL is not valid, else nothing. It does not show the URL."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "The ping URL is not a URL: write one such as https://hc.example.org/ping/…."
    if not fine or url.split() != [url] or not url.isprintable() or len(url) > MAX_LENGTH:
        return "A ping URL begins with https:// or http:// and names a host: correct it."
    if parts.username is not None or parts.fragment:
        return "A ping URL has no user, password or #fragment: remove them."
    return ""


def ping(url: str, path: str) -> str:
    """Return the URL with the path added to its own."""
    parts = urlsplit(url)
    return parts._replace(path=parts.path.rstrip("/") + path if path else parts.path).geturl()


def masked(url: str) -> str:
    """Return the schema and, if the host is no token, enough of the host to recognise it."""
    schema, _, rest = url.partition("://")
    schema = schema.lower()
    if schema not in _WITH_HOST and schema not in {"http", "https"}:
        return f"{schema}://…"
    place = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    host = place.rpartition(":")[0] if re.search(r":\d+$", place) else place
    if not _HOST.fullmatch(host):
        return f"{schema}://…"
    return f"{schema}://{host[:2]}…{host[5:][-3:]}"


def secrets(url: str) -> set[str]:
    """Return the parts of a URL that no text about it may show: all but the schema and the names of arguments."""
    rest = url.partition("://")[2]
    pieces = {piece for part in (rest, unquote(rest)) for piece in re.split(r"[/?#@:&=,;+]", part)}
    return {rest, *pieces} - {"", *_NAMES}


def may_reach(address: str, allowed: Iterable[Network] = ()) -> bool:
    """Tell whether messages may be sent to the IP address: not to this machine or a cloud's metadata service."""
    try:
        found = _plain(ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    if any(found.version == network.version and found in network for network in allowed):
        return True
    return not (
        found in _METADATA
        or found.is_loopback
        or found.is_link_local
        or found.is_unspecified
        or found.is_multicast
        or (isinstance(found, IPv4Address) and (found.is_reserved or found in _THIS_NETWORK))
    )


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address inside an IPv6 address (mapped, 6to4, NAT64), or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    nat64 = ip_network("64:ff9b::/96")
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in nat64 else address
