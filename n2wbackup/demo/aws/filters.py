"""EC2's filters and pages, the same for all Describe calls."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall, members

VALUES_PER_CALL = 200
LEAST_PAGE, LARGEST_PAGE = 5, 1000
_T = TypeVar("_T")
ValuesOf = Callable[[_T, str], "Sequence[str] | None"]


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter: any of its values must match; `*` and `?` are wildcards, unless escaped."""

    name: str
    literals: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    def matches(self, values: Iterable[str]) -> bool:
        """Tell whether one of the values matches."""
        return any(
            value in self.literals or any(pattern.fullmatch(value) for pattern in self.patterns)
            for value in values
        )


def _pattern(value: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    pieces = re.findall(r"\\.|.", value, re.DOTALL)
    return re.compile("".join(parts.get(each) or re.escape(each[-1]) for each in pieces), re.DOTALL)


def parse(call: ApiCall) -> list[Filter]:
    """Return the call's filters; FilterLimitExceeded for more values than AWS accepts."""
    filters = []
    count = 0
    for group in call.groups("Filter"):
        values = [each[""] for each in members(group, "Value")]
        count += len(values)
        wild = [value for value in values if re.search(r"[*?\\]", value)]
        literals = frozenset(values).difference(wild)
        filters.append(Filter(group.get("Name", ""), literals, tuple(map(_pattern, wild))))
    if count > VALUES_PER_CALL:
        raise ApiError(
            "FilterLimitExceeded",
            f"The maximum number of filter values specified on a single call is {VALUES_PER_CALL}",
        )
    return filters


def select(items: Iterable[_T], filters: Sequence[Filter], values_of: ValuesOf[_T]) -> list[_T]:
    """Return the items that match every filter; `values_of` returns None for an unknown name."""
    selected = []
    for item in items:
        for each in filters:
            values = values_of(item, each.name)
            if values is None:
                message = f"The filter '{each.name}' is invalid"
                raise ApiError("InvalidParameterValue", message)
            if not each.matches(values):
                break
        else:
            selected.append(item)
    return selected


def tag_values(tags: dict[str, str], name: str) -> Sequence[str] | None:
    """Return the values for `tag:<key>`, `tag-key` and `tag-value` filters; None for other names."""
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return (tags[key],) if key in tags else ()
    if name == "tag-key":
        return tuple(tags)
    return tuple(tags.values()) if name == "tag-value" else None


def _digest(call: ApiCall) -> str:
    asked = sorted(
        (key, value)
        for key, value in call.parameters.items()
        if key not in {"NextToken", "MaxResults"}
    )
    return hashlib.sha256(repr((call.region, call.action, asked)).encode()).hexdigest()[:16]


def _position(call: ApiCall) -> int:
    token = call.text("NextToken")
    if not token:
        return -1
    try:
        digest, _, position = base64.urlsafe_b64decode(token).decode().partition(":")
        if digest == _digest(call):
            return int(position)
    except (ValueError, binascii.Error):
        pass
    raise ApiError("InvalidNextToken", f"The specified NextToken is not valid: {token}")


def page(
    call: ApiCall, items: Sequence[_T], position_of: Callable[[_T], int], by_id: str = ""
) -> tuple[list[_T], str | None]:
    """Return the page that the call asks for and the token of the next one.

    The order is that of `position_of`, which never changes for an item: if an item is deleted between
    two pages, the others do not move. `by_id` is the id parameter that cannot be combined with pages.
    """
    wanted = call.text("MaxResults")
    if wanted and by_id and call.values(by_id):
        shown = by_id[0].lower() + by_id[1:].removesuffix("Id") + "Set"
        message = f"The parameter {shown} cannot be used with the parameter maxResults"
        raise ApiError("InvalidParameterCombination", message)
    if wanted and not (wanted.isdigit() and int(wanted) >= LEAST_PAGE):
        message = (
            f"Value ( {wanted} ) for parameter maxResults is invalid. "
            f"Expecting a value greater than or equal to {LEAST_PAGE}."
        )
        raise ApiError("InvalidParameterValue", message)
    after = _position(call)
    rest = [item for item in sorted(items, key=position_of) if position_of(item) > after]
    if not wanted:
        return rest, None
    size = min(int(wanted), LARGEST_PAGE)
    shown_items = rest[:size]
    if len(rest) <= size:
        return shown_items, None
    token = f"{_digest(call)}:{position_of(shown_items[-1])}"
    return shown_items, base64.urlsafe_b64encode(token.encode()).decode()
