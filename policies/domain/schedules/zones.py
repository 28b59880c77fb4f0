"""What somebody meant who wrote no time zone of the database: abbreviations, offsets, other systems' names."""

import re
from collections.abc import Collection
from difflib import get_close_matches

_PLACES = {
    "Europe/Berlin": "CEST MESZ MEZ",
    "Europe/London": "BST",
    "Europe/Lisbon": "WEST",
    "Europe/Athens": "EEST",
    "Europe/Moscow": "MSK MSD",
    "America/New_York": "EDT ET",
    "America/Chicago": "CDT CST CT",
    "America/Denver": "MDT MT",
    "America/Los_Angeles": "PDT PST PT",
    "America/Anchorage": "AKST AKDT",
    "America/Halifax": "ADT AST",
    "America/Sao_Paulo": "BRT BRST",
    "America/Argentina/Buenos_Aires": "ART",
    "Africa/Johannesburg": "SAST",
    "Africa/Lagos": "WAT",
    "Africa/Nairobi": "EAT",
    "Asia/Dubai": "GST",
    "Asia/Karachi": "PKT",
    "Asia/Kolkata": "IST",
    "Asia/Bangkok": "ICT",
    "Asia/Jakarta": "WIB",
    "Asia/Shanghai": "CHINA",
    "Asia/Hong_Kong": "HKT",
    "Asia/Singapore": "SGT",
    "Asia/Manila": "PHT",
    "Asia/Tokyo": "JST",
    "Asia/Seoul": "KST",
    "Australia/Perth": "AWST",
    "Australia/Darwin": "ACST",
    "Australia/Adelaide": "ACDT",
    "Australia/Brisbane": "AEST",
    "Australia/Sydney": "AEDT AET",
    "Pacific/Auckland": "NZST NZDT",
}
_BY_ABBREVIATION = {word: place for place, words in _PLACES.items() for word in words.split()}
# The names of Windows that are met most, by their beginning.
_WINDOWS = {
    "w. europe": "Europe/Berlin",
    "romance": "Europe/Paris",
    "central europe": "Europe/Budapest",
    "gmt standard": "Europe/London",
    "eastern": "America/New_York",
    "central": "America/Chicago",
    "mountain": "America/Denver",
    "pacific": "America/Los_Angeles",
    "india": "Asia/Kolkata",
    "china": "Asia/Shanghai",
    "tokyo": "Asia/Tokyo",
}
# Places of the offsets that are no whole hours, which Etc/… does not have.
_PARTS_OF_HOURS = {
    "+03:30": "Asia/Tehran",
    "+04:30": "Asia/Kabul",
    "+05:30": "Asia/Kolkata",
    "+05:45": "Asia/Kathmandu",
    "+06:30": "Asia/Yangon",
    "+09:30": "Australia/Darwin",
    "+10:30": "Australia/Lord_Howe",
    "-03:30": "America/St_Johns",
}
_OFFSET = re.compile(
    r"(?:UTC|GMT|Etc/UTC)?\s*([+-])\s*([0-9]{1,2})(?::?([0-9]{2}))?", re.IGNORECASE
)
_EAST_MOST, _WEST_MOST = 14, 12  # of Etc/GMT…
_USUAL = "write one such as Europe/Berlin or UTC."


def advice(given: str, known: Collection[str]) -> str:
    """Return what to write in place of `given`, as the end of a sentence; `known` are the zones of this machine."""
    text = " ".join(given.split())
    place = _BY_ABBREVIATION.get(text.upper()) or _windows(text)
    if place:
        return f"did you mean {place}? A place follows the changes of its clock by itself."
    if text.upper() == "Z":
        return "write UTC."
    offset = _OFFSET.fullmatch(text)
    if offset:
        return _of_offset(offset[1], int(offset[2]), offset[3] or "00")
    near = _by_place(text, known) or _by_letters(text, known)
    return f"did you mean {near}?" if near else _USUAL


def _windows(text: str) -> str:
    lower = text.lower()
    if not lower.endswith(("standard time", "daylight time", "summer time")):
        return ""
    return next((place for begin, place in _WINDOWS.items() if lower.startswith(begin)), "")


def _of_offset(sign: str, hours: int, minutes: str) -> str:
    shown = f"{sign}{hours:02}:{minutes}"
    place = _PARTS_OF_HOURS.get(shown)
    if place:
        return f"for the offset {shown} write a place that has it, such as {place}."
    if minutes != "00" or hours > (_EAST_MOST if sign == "+" else _WEST_MOST):
        return f"no zone has the offset {shown} at all times: {_USUAL}"
    if not hours:
        return "write UTC."
    direction, turned = ("ahead of", "-") if sign == "+" else ("behind", "+")
    return (
        f"write Etc/GMT{turned}{hours} for {hours} hours {direction} UTC all year (in Etc/… the sign is turned "
        "round), or a place such as Europe/Berlin, which follows summer and winter time."
    )


def _by_place(text: str, known: Collection[str]) -> str:
    """Return the zone whose city or whole name this is, whatever its case and however its words are joined."""
    wanted = re.sub(r"[\s-]+", "_", text).casefold()
    found = [name for name in known if wanted in {name.casefold(), _city(name)}]
    return min(found, key=lambda name: (name.count("/"), name), default="")


def _city(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def _by_letters(text: str, known: Collection[str]) -> str:
    folded = {name.casefold(): name for name in known}
    near = get_close_matches(text.casefold(), folded, n=1, cutoff=0.6)
    if not near:
        by_city = {_city(name): name for name in sorted(known, reverse=True)}
        near = get_close_matches(text.casefold(), by_city, n=1, cutoff=0.8)
        return by_city[near[0]] if near else ""
    return folded[near[0]]
