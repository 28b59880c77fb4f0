"""A query states a word of ours, and nothing else."""

import pytest

from n2wbackup.lib.literal import Literal
from policies.models import Run


def test_a_word_stands_in_the_text_of_the_query() -> None:
    sql, params = Run.objects.filter(state=Literal("waiting")).order_by().query.sql_with_params()

    assert sql.endswith("= ('waiting')")
    assert params == ()


@pytest.mark.parametrize("word", ["", "it's", "a b", "%s", "A", "x; drop table", "a\n"])
def test_what_is_no_word_of_ours_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="no word that a query may state"):
        Literal(word)
