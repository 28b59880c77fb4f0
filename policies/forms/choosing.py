"""Targets chosen by ticking rows of a table, or by typing ids; volumes are left out by ticking, too."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from django.http import QueryDict

from policies.domain import identifiers
from policies.domain.document import typed
from policies.domain.document.typed import BOOT, Typed
from policies.models import PolicyTarget
from policies.services.entry import policies
from policies.services.entry.picking import Choice, Disk, Shelf

SHOWN = 50  # rows that are not chosen; a search finds the others
MOST_REGIONS = 20
MOST_INSTANCES = 500  # with a form each for their scripts


class DiskRow(NamedTuple):
    """A volume of an instance with its box: ticked, it is left out."""

    key: str
    disk: Disk
    is_left_out: bool


class Row(NamedTuple):
    """A line of the table; `is_there` is false for a target that AWS did not show."""

    key: str
    choice: Choice
    is_chosen: bool
    disks: tuple[DiskRow, ...]
    is_there: bool


@dataclass(slots=True)
class Choosing:
    """What was chosen, as the form sends it: keys are `region/id` and `region/id/volume` (or `boot`)."""

    region: str
    chosen: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    typed: str = ""
    more_regions: str = ""
    search: str = ""
    mistakes: list[str] = field(default_factory=list)

    @property
    def regions(self) -> list[str]:
        """Return the regions to ask AWS about: the account's, those of the targets, and those that were typed."""
        of = [key.partition("/")[0] for key in self.chosen]
        named = self.more_regions.replace(",", " ").split()
        known = (each for each in (self.region, *named, *of) if identifiers.is_region(each))
        return list(dict.fromkeys(known))[:MOST_REGIONS]

    @property
    def instances(self) -> list[str]:
        """Return the instances that are chosen by now, ticked or typed, as `region/id`."""
        found = [key for key in self.chosen if identifiers.is_instance_id(key.rpartition("/")[2])]
        for line in filter(str.strip, self.typed.splitlines()):
            with suppress(ValueError):
                named = typed.parse(line, self.region)
                found += [f"{named.region}/{named.instance_id}"] if named.instance_id else []
        return list(dict.fromkeys(found))[:MOST_INSTANCES]

    def targets(self, stored: Iterable[PolicyTarget] = ()) -> list[PolicyTarget]:
        """Return the targets, those that are stored already in their order; mistakes are collected."""
        self.mistakes = []
        found = [self._target(key) for key in dict.fromkeys(self.chosen)]
        ticked = {_key(target) for target in found}
        for line in filter(str.strip, self.typed.splitlines()):
            try:
                named = _made(typed.parse(line, self.region))
            except ValueError as error:
                self.mistakes.append(str(error))
                continue
            # A browser that goes back puts the text there again, beside the tick that came of it.
            if _key(named) not in ticked or named.exclude_boot_volume or named.exclude_volume_ids:
                found.append(named)
        order = {_key(target): place for place, target in enumerate(stored)}
        found.sort(key=lambda target: order.get(_key(target), len(order)))
        if not found and not self.mistakes:
            self.mistakes.append(policies.NO_TARGET)
        self.mistakes += [wrong.sentence for wrong in policies.check_targets(found)]
        return found

    def _target(self, key: str) -> PolicyTarget:
        region, _, name = key.partition("/")
        left_out = sorted(
            each[len(key) + 1 :] for each in self.left_out if each.startswith(f"{key}/")
        )
        is_volume = name.startswith("vol-")
        return PolicyTarget(
            instance_id="" if is_volume else name[:32],
            volume_id=name[:32] if is_volume else "",
            region=region[:32],
            exclude_boot_volume=BOOT in left_out,
            exclude_volume_ids=[each for each in left_out if each != BOOT],
        )

    def rows(self, shelf: Shelf | None) -> tuple[list[Row], int]:
        """Return the table's lines, the chosen ones always among them, and how many are not shown."""
        choices = (
            {f"{each.region}/{each.resource_id}": each for each in shelf.choices} if shelf else {}
        )
        words = self.search.split()
        rows, hidden, free = [], 0, 0
        for key, choice in choices.items():
            is_chosen = key in self.chosen
            # A volume of an instance is backed up with it; by itself it is there for a search.
            is_fitting = choice.fits(words) and bool(words or not choice.attached_to)
            if not is_chosen and is_fitting:
                free += 1
                hidden += free > SHOWN
            if is_chosen or (is_fitting and free <= SHOWN):
                rows.append(self._row(key, choice, is_chosen=is_chosen, is_there=True))
        gone = [key for key in dict.fromkeys(self.chosen) if key not in choices]
        unseen = [self._row(k, _unseen(k), is_chosen=True, is_there=shelf is None) for k in gone]
        return unseen + rows, hidden

    def _row(self, key: str, choice: Choice, *, is_chosen: bool, is_there: bool) -> Row:
        disks = [(f"{key}/{BOOT if d.is_boot else d.volume_id}", d) for d in choice.disks]
        known = {each for each, _ in disks}
        lost = sorted(e for e in self.left_out if e.startswith(f"{key}/") and e not in known)
        disks += [(each, _lost(each.rpartition("/")[2])) for each in lost]
        shown = tuple(DiskRow(each, disk, each in self.left_out) for each, disk in disks)
        return Row(key, choice, is_chosen, shown if choice.is_instance else (), is_there)


def of_form(sent: QueryDict, region: str) -> Choosing:
    """Return what the form sent."""
    return Choosing(
        region,
        sent.getlist("target"),
        set(sent.getlist("leave_out")),
        sent.get("typed", ""),
        sent.get("regions", ""),
        sent.get("search", ""),
    )


def of_stored(targets: Sequence[PolicyTarget], region: str) -> Choosing:
    """Return the stored targets as chosen."""
    made = Choosing(region)
    for target in targets:
        key = f"{target.region}/{target}"
        made.chosen.append(key)
        made.left_out |= {f"{key}/{volume}" for volume in target.exclude_volume_ids}
        if target.exclude_boot_volume:
            made.left_out.add(f"{key}/{BOOT}")
    return made


def in_words(target: PolicyTarget) -> str:
    """Return the target in one line, as people type it."""
    left_out = [BOOT] if target.exclude_boot_volume else []
    left_out += sorted(target.exclude_volume_ids)
    words = [str(target), target.region, *(["without", *left_out] if left_out else [])]
    return " ".join(words) + target.scripts_in_words


def _made(found: Typed) -> PolicyTarget:
    values: Mapping[str, object] = found._asdict()
    return PolicyTarget(**{**values, "exclude_volume_ids": list(found.exclude_volume_ids)})


def _key(target: PolicyTarget) -> tuple[str, str]:
    return target.region, str(target)


def _unseen(key: str) -> Choice:
    region, _, name = key.partition("/")
    return Choice(name, region, "", "")


def _lost(name: str) -> Disk:
    is_boot = name == BOOT
    return Disk("" if is_boot else name, "", 0, "", "", is_boot)
