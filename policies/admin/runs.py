"""The admin pages of runs: read-only, except that a run can be cancelled."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from n2wbackup.lib import row_keys
from policies.admin import lists
from policies.admin.owned import Owned, actor, person, tell
from policies.models import PhaseResult, Policy, Run, RunEvent, RunTarget
from policies.models.querysets import RunQuerySet
from policies.services import operations
from scripts_admin import permissions

if TYPE_CHECKING:
    _RunTargetInline = admin.TabularInline[RunTarget, Run]
    _PhaseInline = admin.StackedInline[PhaseResult, Run]
    _EventInline = admin.TabularInline[RunEvent, Run]
    _PolicyFilter = admin.SimpleListFilter
else:  # they take no types at run time
    _RunTargetInline = _EventInline = admin.TabularInline
    _PhaseInline = admin.StackedInline
    _PolicyFilter = admin.SimpleListFilter

MOST_CHOICES = 100  # the largest number of policies that the filter lists


class ReadOnly:
    """Read-only: only the services of runs change these rows."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002 - Django passes them by name
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002 - Django passes them by name
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002 - Django passes them by name
        return False

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002 - Django passes them by name
        """The right to see runs covers their parts too."""
        return request.user.has_perm("policies.view_run")


class RunTargetInline(ReadOnly, _RunTargetInline):
    """The result of each target, with its snapshots."""

    model = RunTarget
    fields = (
        "instance_id",
        "volume_id",
        "region",
        "state",
        "consistency",
        "reason",
        "fired_at",
        "made",
    )
    readonly_fields = ("made",)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[RunTarget]:
        """Read the snapshots of all targets in one query."""
        return super().get_queryset(request).prefetch_related("snapshots")

    @admin.display(description="snapshots")
    def made(self, target: RunTarget) -> SafeString:
        lines = ((s.snapshot_id, s.volume_id, s.state, s.progress) for s in target.snapshots.all())
        return format_html_join("", "<div>{} of {}: {} ({} %)</div>", lines)


class PhaseInline(ReadOnly, _PhaseInline):
    """The result of each attempt of each script, with links to what it printed."""

    model = PhaseResult
    fields = (
        ("phase", "attempt", "outcome", "exit_code", "argument", "script"),
        ("started_at", "ended_at"),
        "output",
        "errors",
    )
    readonly_fields = ("output", "errors")

    @admin.display(description="stdout")
    def output(self, result: PhaseResult) -> str:
        return _printed(result, "stdout", result.stdout_bytes)

    @admin.display(description="stderr")
    def errors(self, result: PhaseResult) -> str:
        return _printed(result, "stderr", result.stderr_bytes)


def _printed(result: PhaseResult, stream: str, size: int) -> str:
    if not size:
        return "-"
    address = reverse("output", args=[result.run_id, result.phase, result.attempt, stream])
    return format_html('<a href="{}">{} bytes</a>', address, size)


class EventInline(ReadOnly, _EventInline):
    model = RunEvent
    fields = ("at", "state", "text")


class PolicyFilter(_PolicyFilter):
    """One policy's runs. With more than MOST_CHOICES policies it lists only the one that the address names.

    A policy that the person may not see has no runs here, like one that does not exist.
    """

    title = "policy"
    parameter_name = "of_policy"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ANN401, ARG002 - Django's signature
        rows = permissions.owned(Policy.objects.all(), person(request)).order_by(
            "owner__username", "name"
        )
        asked: str | None = self.value()
        if rows[: MOST_CHOICES + 1].count() > MOST_CHOICES:
            if asked is None:
                return []  # the search finds a policy by its name
            rows = rows.filter(pk=asked) if row_keys.is_key(asked) else rows.none()
        found = rows.values_list("pk", "owner__username", "name")
        listed = [(str(key), f"{owner}/{name}") for key, owner, name in found]
        if asked is not None and asked not in {key for key, _ in listed}:
            # Without a line, Django would leave the filter out, and show all runs in silence.
            listed.append((asked, "no such policy"))
        return listed

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ANN401 - Django's signature
        asked = self.value()
        if asked is None:
            return queryset
        seen = permissions.owned(Policy.objects.all(), person(request))
        is_known = row_keys.is_key(asked) and seen.filter(pk=asked).exists()
        return queryset.filter(policy=asked) if is_known else queryset.none()


@admin.register(Run)
class RunAdmin(ReadOnly, Owned):
    """Runs are read-only, as they are history; an unfinished one can be cancelled."""

    inlines = [RunTargetInline, PhaseInline, EventInline]
    fields = (
        ("owner_name", "policy_name", "trigger", "attempt", "requested_by"),
        ("state", "consistency"),
        "reason",
        ("scheduled_for", "stands_for"),
        ("created_at", "not_before", "started_at", "fired_at", "ended_at"),
        "retry_at",
        ("freeze_seconds", "hold_seconds"),
        ("thaw_by", "thaw_attempts", "thaw_next_at"),
        ("cancel_requested_at", "cancelled_by"),
    )
    readonly_fields = ("stands_for",)
    list_display = (
        *("created_at", "owner_name", "policy_name", "state", "consistency", "trigger"),
        *("attempt", "scheduled_for"),
    )
    list_filter = (
        ("state", lists.StateFilter),
        ("consistency", lists.ConsistencyFilter),
        ("trigger", lists.TriggerFilter),
        "created_at",
        PolicyFilter,
    )
    search_fields = ("policy_name", "owner_name")
    search_help_text = "Search by policy (OWNER/NAME or NAME), by owner, or by a run's id"
    paginator = lists.Counted
    show_full_result_count = False
    list_per_page = 50
    actions = ("cancel_runs",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """The same right as for seeing runs."""
        return self.has_view_permission(request)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """The right to change runs allows cancelling and nothing else."""
        return request.user.has_perm("policies.change_run")

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: models.QuerySet[Run],
        search_term: str,
    ) -> tuple[models.QuerySet[Run], bool]:
        """Find by whole names: a part of a name is found only by reading every run."""
        assert isinstance(queryset, RunQuerySet)  # noqa: S101 - the manager's own
        said = search_term.strip()
        return (lists.searched(queryset, said, person(request)) if said else queryset), False

    @admin.display(description="covers")
    def stands_for(self, run: Run) -> str:
        """For a missed or skipped run: show how many due times the row covers."""
        if run.due_until is None:
            return "-"
        times = "due time" if run.due_count == 1 else "due times"
        return f"{run.due_count} {times}, the last at {run.due_until:%Y-%m-%d %H:%M} UTC"

    @admin.action(description="Cancel the selected runs", permissions=["cancel"])
    def cancel_runs(self, request: HttpRequest, queryset: models.QuerySet[Run]) -> None:
        """Cancel each run. A frozen application is thawed first; refusals are shown."""
        tell(self, request, operations.cancel(queryset, by=actor(request)))
