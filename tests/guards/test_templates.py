"""Pages are made of components: a page formats no time, writes no style or script, and marks nothing as safe."""

import re

import pytest

from tests.guards import tree

# Forbidden patterns in a template, and their replacement.
INSTEAD = {
    r"\|\s*(?:date|time|timesince|timeuntil|slice|slugify)\b": "moment or span of lib/components.py",
    r"\|\s*(?:safe|safeseq)\b|\{%\s*autoescape\b": "escaping",
    r"<script(?![^>]*\ssrc=)|<style\b|\s(?:style|on[a-z]+)=": "static files",
    r'class="(?:state|alarm|scroll|empty)\b': "badge, banner, table, nothing_yet",
}


@pytest.mark.parametrize(("pattern", "instead"), INSTEAD.items(), ids=INSTEAD.values())
def test_a_page_leaves_to_a_component_what_one_does(pattern: str, instead: str) -> None:
    pages = {
        name: text
        for name, text in tree.sources(".html")
        if name.startswith("templates/") and not name.startswith("templates/components/")
    }

    assert len(pages) > 10
    assert [name for name, text in pages.items() if re.search(pattern, text)] == [], instead
