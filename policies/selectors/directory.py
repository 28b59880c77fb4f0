"""The policies of a script folder, for the pages of scripts: they know files and phases, and no policies."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from uuid import UUID

from policies.models import PhaseResult, Policy, PolicyTarget
from scripts_admin.models import User
from scripts_admin.ports import LastResult, ScriptedPolicy


class Directory:
    """Answers from the database, with a number of queries that does not depend on the number of policies."""

    def of_folders(self, folder_ids: Collection[int], viewer_id: int) -> list[ScriptedPolicy]:
        rows = Policy.objects.filter(folder__in=folder_ids).select_related("owner", "last_run")
        found = list(rows.order_by("name", "pk"))
        viewer = User.objects.filter(pk=viewer_id).first()
        keys = [policy.pk for policy in found]
        seen = Policy.objects.filter(pk__in=keys)
        visible = set(seen.visible_to(viewer).values_list("pk", flat=True)) if viewer else set()
        results = _results([policy.last_run_id for policy in found if policy.last_run_id])
        instances = _instances(visible)
        return [
            replace(
                _scripted(policy, visible, results),
                instances=instances[policy.pk] if policy.pk in visible else None,
            )
            for policy in found
        ]


def _instances(policies: Collection[int]) -> Mapping[int, dict[str, bool]]:
    found: dict[int, dict[str, bool]] = defaultdict(dict)
    rows = PolicyTarget.objects.filter(policy__in=policies).exclude(instance_id="")
    for policy, instance, by in rows.values_list("policy", "instance_id", "remote_by"):
        found[policy][instance] = bool(by)
    return found


def _results(runs: Collection[UUID]) -> Mapping[UUID, dict[str, LastResult]]:
    found: dict[UUID, dict[str, LastResult]] = defaultdict(dict)
    # Of several attempts of after the last one counts: it comes last.
    for row in PhaseResult.objects.filter(run__in=runs).order_by("run", "phase", "attempt"):
        found[row.run_id][row.phase] = LastResult(row.outcome, row.exit_code, row.ended_at)
    return found


def _scripted(
    policy: Policy, visible: Collection[int], results: Mapping[UUID, dict[str, LastResult]]
) -> ScriptedPolicy:
    is_visible = policy.pk in visible
    last = policy.last_run if is_visible else None  # the right on a folder is none on its policies
    return ScriptedPolicy(
        folder_id=policy.folder_id,
        owner=policy.owner.username,
        name=policy.name,
        scripts_enabled=policy.scripts_enabled,
        is_visible=is_visible,
        last_run=str(last.pk) if last else "",
        last_state=last.state if last else "",
        last_at=last.created_at if last else None,
        hold_seconds=last.hold_seconds if last else None,
        results=results.get(last.pk, {}) if last else {},
    )
