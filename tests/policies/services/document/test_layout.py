"""The layout of a document says what the YAML library says, and reads as what was laid out."""

from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from policies.services.document import layout
from tests.ground.properties import given, st

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *("", "yes", "null", "true", "18:00", "007", "1e5", "0o7", "- a", "a: b", "# no"),
            *("i-0123", "us-east-1", "e-5", "_", "~", "2026-12-01", "a\nb", "\x85", "\U0001f600"),
        ]
    ),
)
VALUES = st.one_of(TEXTS, st.booleans(), st.integers(), st.lists(TEXTS, max_size=3))
KEYS = st.sampled_from(["owner", "name", "targets", "scripts", "timeout_seconds"])
ENTRIES = st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES)), min_size=1)
DOCUMENTS = st.dictionaries(KEYS, st.lists(ENTRIES, min_size=1, max_size=3), min_size=1)


@given(DOCUMENTS)
def test_what_is_laid_out_is_read_again(document: dict[str, Any]) -> None:
    assert YAML(typ="safe", pure=True).load(layout.yaml(document)) == document


def test_it_looks_as_the_library_lays_it_out() -> None:
    document = {
        "policies": [
            {"owner": "alice", "on": True, "names": ["a", "2026-12-01"], "none": [], "limit": 60},
            {"targets": [{"instance": "i-0123", "more": {"from": "08:00"}}, {"volume": "v: 1"}]},
        ]
    }
    library, text = YAML(typ="rt"), StringIO()
    library.dump(document, text)

    assert layout.yaml(document) == text.getvalue()
