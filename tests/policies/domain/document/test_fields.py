"""The table of fields, as the document and the forms read it."""

from policies.domain.document import fields
from policies.domain.document.fields import Field
from policies.domain.document.kinds import Group, Kind
from policies.domain.document.marked import Entry, Place

TABLE = (
    Field("a", "first", Kind.NUMBER),
    Field("b.c.d", "second", Kind.TEXT),
    Field("b.e", "third", Kind.TRUTH),
)


def test_a_dot_in_a_key_opens_a_mapping() -> None:
    found = fields.nested(TABLE, lambda field: field.column)

    assert found == {"a": "first", "b": {"c": {"d": "second"}, "e": "third"}}


def test_numbers_of_one_mapping_stand_in_one_line_of_the_form() -> None:
    timeouts = tuple(f"{phase}_timeout_seconds" for phase in ("before", "after", "complete"))

    assert timeouts in fields.lines(Group.SCRIPTS)
    assert ("max_freeze_seconds",) in fields.lines(Group.LIMITS)


def test_every_field_stands_in_one_group_of_the_form() -> None:
    found = [column for group in Group for line in fields.lines(group) for column in line]

    assert sorted(found) == sorted(field.column for field in fields.POLICY)


def test_a_key_with_dots_is_looked_up_in_the_mappings_below() -> None:
    below = Entry(Place(2, 5, "b"), {"e": 7}, {"e": Place(2, 9, "b.e")}, {"c"})
    entry = Entry(Place(1, 1, ""), {"b": below}, {"b": Place(2, 5, "b")})

    assert (entry.get("b.e"), entry.get("b.c"), entry.get("x.y")) == (7, None, None)
    assert entry.where("b.e") == Place(2, 9, "b.e")
    assert entry.where("x.y") == Place(1, 1, "x.y")
    assert [key for key in ("b.c", "b.e", "x.y") if entry.is_unread(key)] == ["b.c"]
