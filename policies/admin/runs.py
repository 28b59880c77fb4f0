"""Runs in the admin: to be looked at."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from policies.admin.owned import Owned, person
from policies.models import PhaseResult, Run, RunEvent, RunSnapshot, RunTarget

if TYPE_CHECKING:
    _RunTargetInline = admin.TabularInline[RunTarget, Run]
    _PhaseInline = admin.StackedInline[PhaseResult, Run]
    _EventInline = admin.TabularInline[RunEvent, Run]
else:  # they take no types at run time
    _RunTargetInline = _EventInline = admin.TabularInline
    _PhaseInline = admin.StackedInline


class ReadOnly:
    """To be looked at; only the machinery of runs changes it."""

    extra = 0
    can_delete = False

    def has_add_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: object = None) -> bool:
        """Refuse."""
        return False

    def has_view_permission(self, request: HttpRequest, _obj: object = None) -> bool:
        """Ask for the right to see runs, which their parts go by."""
        return person(request).has_perm("policies.view_run")


class RunTargetInline(ReadOnly, _RunTargetInline):
    """What became of each target, its snapshots included."""

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

    @admin.display(description="snapshots")
    def made(self, target: RunTarget) -> SafeString:
        """Show a line for each snapshot."""
        lines = (
            (s.snapshot_id, s.volume_id, s.state, s.progress)
            for s in RunSnapshot.objects.filter(target=target)
        )
        return format_html_join("", "<div>{} of {}: {} ({} %)</div>", lines)


class PhaseInline(ReadOnly, _PhaseInline):
    """What each attempt of each script did. Output is text, whatever it looks like."""

    model = PhaseResult
    fields = (
        ("phase", "attempt", "outcome", "exit_code", "argument", "script"),
        ("started_at", "ended_at"),
        "output",
        "errors",
    )
    readonly_fields = ("output", "errors")

    @admin.display(description="stdout")
    def output(self, result: PhaseResult) -> SafeString:
        """Show what the script wrote."""
        return format_html("<pre>{}</pre>", result.stdout)

    @admin.display(description="stderr")
    def errors(self, result: PhaseResult) -> SafeString:
        """Show what the script complained about."""
        return format_html("<pre>{}</pre>", result.stderr)


class EventInline(ReadOnly, _EventInline):
    """The run's history."""

    model = RunEvent
    fields = ("at", "state", "text")


@admin.register(Run)
class RunAdmin(ReadOnly, Owned):
    """Runs, to be looked at: their history is not for editing."""

    inlines = [RunTargetInline, PhaseInline, EventInline]
    fields = (
        ("owner_name", "policy_name", "trigger", "attempt", "requested_by"),
        ("state", "consistency"),
        "reason",
        ("created_at", "started_at", "fired_at", "ended_at"),
        ("freeze_seconds", "hold_seconds"),
        ("thaw_by", "thaw_attempts", "thaw_next_at"),
        ("cancel_requested_at", "cancelled_by"),
    )
    list_display = ("id", "owner_name", "policy_name", "state", "consistency", "created_at")
    list_filter = ("state", "consistency")
    search_fields = ("policy_name", "owner_name")
    show_full_result_count = False  # counting a million runs would take longer than showing a page

    def has_module_permission(self, request: HttpRequest) -> bool:
        """As for seeing runs."""
        return self.has_view_permission(request)
