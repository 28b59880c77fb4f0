"""Every kind of page that a server's own links lead to, one address of each: what was built yesterday is found, too."""

import html
import os
import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import django
from django.urls import Resolver404, get_resolver
from playwright.sync_api import Page

_LINK = re.compile(r'\bhref="([^"]+)"')
# Django's own pages; and what ends the session, or has no page.
_NOT = ("/admin/", "/static/", "/logout/", "/health/", "/login/")


def know(home: Path) -> None:
    """Know the product's addresses; its settings make their files in `home`."""
    os.environ |= {"DJANGO_SETTINGS_MODULE": "n2wbackup.settings", "N2W_HOME": str(home)}
    django.setup()


def found(page: Page, base: str, begin: Collection[str]) -> list[str]:
    """Return the addresses of `begin` first, then one of each other kind that any page links to."""
    waiting = [*begin]
    known = {_kind(address) for address in waiting}
    shown: list[str] = []
    while waiting:
        address = waiting.pop(0)
        answer = page.request.get(f"{base}{address}", max_redirects=0)
        assert answer.ok or answer.status == 302 or address in begin, (address, answer.status)
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        if answer.status != 302:
            shown.append(address)
        for link in _LINK.findall(answer.text()):
            path = urlsplit(html.unescape(link)).path
            kind = "" if path.startswith(_NOT) else _kind(path)
            if kind and kind not in known:
                known.add(kind)
                waiting.append(path)
    return shown


def _kind(address: str) -> str:
    """Return the pattern of the address; "" if there is no such page."""
    try:
        return str(get_resolver().resolve(address).route)
    except Resolver404:
        return ""
