"""Links between the project's own pages lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.guards import tree

LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")


def _anchors(text: str) -> set[str]:
    """The names by which a page's headings can be linked to."""
    headings = re.findall(r"^#+ +(.*)$", FENCED.sub("", text), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def _links(text: str) -> Iterator[str]:
    for match in LINK.finditer(FENCED.sub("", text)):
        if not ELSEWHERE.match(match["target"]):
            yield match["target"]


def _is_dead(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(tree.ROOT):
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in _anchors(target.read_text())


def test_no_link_of_a_page_is_dead() -> None:
    dead = [
        f"{name}: {link}"
        for name, text in tree.sources(".md")
        for link in _links(text)
        if _is_dead(tree.ROOT / name, link)
    ]

    assert dead == []
