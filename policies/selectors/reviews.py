"""What waits for a second pair of eyes, and what its reviewer looks at: difference, lint, last test."""

from typing import NamedTuple

from policies.domain.runs.trigger import Trigger
from policies.models import PhaseResult, Run
from policies.selectors import script_texts
from policies.selectors.script_texts import Difference
from scripts_admin.domain.lint.remarks import Remark
from scripts_admin.folders import linting
from scripts_admin.models import ScriptVersion, User
from scripts_admin.services import approvals, versions


class Review(NamedTuple):
    """A version that a reviewer has before them. `last_test` is None if no test has run this text."""

    version: ScriptVersion
    approved: ScriptVersion | None
    difference: Difference
    remarks: tuple[Remark, ...]
    last_test: PhaseResult | None
    waits: bool
    why_not: str  # why this person cannot approve it


def of(version: ScriptVersion, person: User) -> Review:
    """Return what the person sees of the version; lint takes its time, and asks other programs."""
    folder = version.folder
    before = approvals.approved(folder, [version.name]).get(version.name)
    content = versions.content(version)
    waiting = {each.version.pk for each in approvals.pending(folder)}
    return Review(
        version=version,
        approved=before,
        difference=_from(before, version),
        remarks=tuple(linting.of_text(version.name, content.decode())) if content else (),
        last_test=_last_test(version, person),
        waits=version.pk in waiting,
        why_not=approvals.why_not(folder, version, person),
    )


def _from(before: ScriptVersion | None, version: ScriptVersion) -> Difference:
    if not version.is_deleted:
        return script_texts.of_two(before, version)
    return Difference(why=f"{version.name} is deleted: once approved, nothing runs in its place.")


def _last_test(version: ScriptVersion, person: User) -> PhaseResult | None:
    """Return how the text fared in the last test that the person may see, by its hash."""
    if version.is_deleted:
        return None
    runs = Run.objects.visible_to(person).filter(
        trigger=Trigger.TEST, policy__folder=version.folder_id
    )
    rows = PhaseResult.objects.filter(
        run__in=runs,
        script_version__in=ScriptVersion.objects.filter(
            folder=version.folder_id, name=version.name, sha256=version.sha256
        ),
        script_doubt="",
    )
    return rows.select_related("run").order_by("-run__created_at", "-attempt").first()
