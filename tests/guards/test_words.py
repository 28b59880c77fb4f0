"""Each word of a run has one type: no code compares it with a bare string."""

import ast
from collections.abc import Iterator

from policies.domain.runs.trigger import Trigger
from policies.domain.runs.verdict import Consistency
from scripts_admin.domain.phases import Outcome, Phase, ThawBy
from tests.guards import tree

# "instance" is also a key of the document, and a way into AWS.
WORDS = {word.value for kind in (Phase, Outcome, ThawBy, Trigger, Consistency) for word in kind} - {
    ThawBy.INSTANCE.value
}
PRODUCT = ("policies/", "scripts_admin/", "n2wbackup/")
# AWS has its own words, and so has the simulated AWS.
ELSEWHERE = ("n2wbackup/demo/aws/", "policies/adapters/")


def _compared(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and word of each bare string that is compared or used in a query."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare):
            asked: list[ast.expr] = [node.left, *node.comparators]
        elif isinstance(node, ast.keyword) and node.arg in {"phase", "outcome", "thaw_by"}:
            asked = [node.value]
        else:
            continue
        for each in asked:
            leaves = each.elts if isinstance(each, ast.Set | ast.Tuple | ast.List) else [each]
            for leaf in leaves:
                if isinstance(leaf, ast.Constant) and leaf.value in WORDS:
                    yield leaf.lineno, str(leaf.value)


def test_no_word_of_a_run_is_compared_as_a_bare_string() -> None:
    found = [
        f"{name}:{line}: {word!r}"
        for name, text in tree.sources(".py")
        if name.startswith(PRODUCT) and not name.startswith(ELSEWHERE)
        for line, word in _compared(text)
    ]

    assert found == []


def test_a_bare_string_would_be_found() -> None:
    text = 'a = run.thaw_by == "worker"\nb = x in {"before", 1}\nrows.filter(phase="after")\n'

    assert list(_compared(text)) == [(1, "worker"), (2, "before"), (3, "after")]
