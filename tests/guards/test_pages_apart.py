"""What workers and light commands share needs no page: an address that is asked for loads every page that there is."""

import re

from tests.guards import tree

SHARED = re.compile(
    r"(policies|scripts_admin)/(domain|ports|models|adapters|selectors|services|folders|hosts|runners|guard|management)/"
    r"|policies/(tasks\.py|api/)"
)
# Whoever uses one of these may come to the addresses of the pages.
OF_PAGES = re.compile(r"^\s*(?:from|import) django\.(?:urls|shortcuts|template)\b", re.MULTILINE)


def test_what_workers_and_light_commands_share_asks_for_no_page() -> None:
    shared = {name: text for name, text in tree.sources(".py") if SHARED.match(name)}

    assert "policies/services/entry/reach.py" in shared
    assert [name for name, text in shared.items() if OF_PAGES.search(text)] == []
