"""The allowed URLs of alarms: their kinds, their arguments, and how they are masked. Pure.

A tenant writes a URL, and the server opens it. So both lists name what is allowed: a kind or an argument
that is not in them could read files, run programs or keep the server waiting.
"""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote, urlsplit

MOST = 10
MAX_LENGTH = 2_000
_SCHEMA = re.compile(r"([a-z][a-z0-9]{0,19})://\S*", re.IGNORECASE)
_KEY = re.compile(r"[a-z_-]{1,20}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
# Headers, payload and query of webhooks are named by a first character.
_FREE = {"+": "headers", "-": "query", ":": "payload"}
# Headers that decide where a request ends or where it comes from, or that a metadata service waits for.
_NOT_YOURS = frozenset(
    {
        *("connection", "content-length", "expect", "forwarded", "host", "keep-alive", "te"),
        *("trailer", "transfer-encoding", "upgrade", "via"),
        *("x-http-method", "x-method-override", "x-real-ip"),
    }
)
_NOT_YOURS_BEGIN = (
    "metadata", "proxy-", "x-aws-", "x-forwarded", "x-google-metadata", "x-http-method-", "x-metadata",
    "x-original-", "x-rewrite-",
)  # fmt: skip
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_EVERYWHERE = frozenset({"format", "overflow", "verify"})
_MAIL = frozenset(["bcc", "cc", "from", "mode", "name", "pass", "reply", "smtp", "to", "user"])
_WEBHOOK = frozenset(_FREE)
_TEAMS = frozenset(
    ["api-version", "id", "image", "powerautomate", "pa", "route", "sig", "sp", "sv", "ver", "wrap"]
)
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
    "workflows": _TEAMS,
    "workflow": _TEAMS,
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
    "flock": frozenset(),
    "guilded": frozenset(["avatar", "fields", "footer", "image", "thread", "tts"]),
    "ifttt": frozenset(),
    "lark": frozenset(),
    "wecombot": frozenset(),
}
SCHEMAS = tuple(_ARGUMENTS)
_WEBHOOKS = frozenset(schema for schema, names in _ARGUMENTS.items() if names == _WEBHOOK)
_NAMES = frozenset().union(*_ARGUMENTS.values())
# In all others, a token is in the place of the host.
_WITH_HOST = frozenset(s for s in SCHEMAS if s.rstrip("s") in {
    "mailto", "json", "xml", "form", "ntfy", "gotify", "mmost", "rocket",
})  # fmt: skip


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
        if kind != "https":  # it may be the address of a service, as the service shows it
            yield unknown(kind)


def unknown(kind: str) -> str:
    """Return the sentence for a kind of URL that is not on the list."""
    web = kind in {"http", "https"}
    hint = " Webhooks of your own are written as json:// and jsons://." if web else ""
    return f"alarms cannot be sent by {kind}://: write one of {', '.join(SCHEMAS)}.{hint}"


def refused(schema: str, keys: Iterable[str]) -> str:
    """Return a sentence if a URL of this kind may not have one of these arguments, else nothing."""
    if schema not in _ARGUMENTS:
        return unknown(schema)
    allowed = _ARGUMENTS[schema] | _EVERYWHERE
    for key in keys:
        if key[:1] in _FREE.keys() & allowed or key.lower() in allowed:
            if key[:1] == "+" and schema in _WEBHOOKS and not _is_free(key[1:]):
                return f"{schema}:// does not allow the header {_told(key[1:])}: remove it."
            continue
        if key.lower() == "method" and schema in _WEBHOOKS:
            return f"{schema}:// sends by POST and by nothing else: remove method."
        name = key if _KEY.fullmatch(key) else "one of the arguments"  # it may be part of a secret
        return f"{schema}:// does not allow {name} here: remove it."
    return ""


def _is_free(header: str) -> bool:
    """Tell whether a webhook may have a header of this name."""
    name = header.lower()
    return bool(_HEADER.fullmatch(name)) and not (
        name in _NOT_YOURS or name.startswith(_NOT_YOURS_BEGIN)
    )


def _told(header: str) -> str:
    return header if _HEADER.fullmatch(header) else "with this name"


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
    if parts.fragment:
        return "A ping URL has no #fragment: remove it."
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
