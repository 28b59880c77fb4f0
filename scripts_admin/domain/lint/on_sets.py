"""Rules about the scripts of one policy together."""

from collections.abc import Iterator, Mapping

from scripts_admin.domain.lint import freezing
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.phases import Phase


def of_set(scripts: Mapping[str, Script], has: Mapping[str, bool]) -> Iterator[Remark]:
    """Yield what is wrong between the phases of a policy; `has` tells which phases have a file at all."""
    before, after = scripts.get(Phase.BEFORE), scripts.get(Phase.AFTER)
    if has.get(Phase.BEFORE) and not has.get(Phase.AFTER):
        name = before.name if before else "before"
        text = (
            f"{name} has no after beside it, so nothing thaws what it freezes, and its snapshots count as "
            "crash-consistent: "
            "add an after that thaws, or one that only exits with 0."
        )
        yield Remark(Level.WARNING, "no-after", text, file=name)
    if before and after:
        yield from _not_thawed(before, after)


def _not_thawed(before: Script, after: Script) -> Iterator[Remark]:
    thawed = {freezing.thaws(call) for call in after.calls} | {
        freezing.thaws(call) for call in before.calls
    }
    ends = {call.name for call in after.calls} & {"kill", "pkill", "mysqladmin", "mariadb-admin"}
    seen: set[str] = set()
    for call in before.calls:
        kind = freezing.freezes(call)
        if (
            not kind
            or kind in thawed
            or kind in seen
            or (kind == "mysql" and (ends or _kills(after)))
        ):
            continue
        seen.add(kind)
        known = freezing.KINDS[kind]
        text = f"{before.name} {known.what}, and {after.name} does not thaw it: call {known.thaw} there, in any case."
        yield Remark(Level.WARNING, "not-thawed", text, file=before.name, line=call.line)


def _kills(after: Script) -> bool:
    return any("kill" in freezing.said(call) for call in after.calls)
