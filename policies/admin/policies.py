"""Policies and their targets in the admin."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.forms import ModelForm
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest

from policies.admin.alarms import try_out
from policies.admin.owned import Owned, actor, deleted, person, tell
from policies.admin.schedules import coming
from policies.domain.alarms.messages import AlarmKind
from policies.domain.document import fields
from policies.domain.document.fields import Group
from policies.forms.policies import PolicyForm, TargetForm, TargetSet
from policies.forms.schedules import ScheduleChoices
from policies.models import Policy, PolicyTarget, Schedule
from policies.services import operations
from policies.services.alarms import receivers
from policies.services.due import outlook
from policies.services.entry import policies

if TYPE_CHECKING:
    _TargetInline = admin.TabularInline[Any, Any]
    _Form = ModelForm[Any]
    _FormSet = BaseInlineFormSet[Any, Any, Any]
else:  # they take no types at run time
    _TargetInline = admin.TabularInline
    _Form = _FormSet = object

# What the runs keep, and nobody enters.
_KEPT = ("last_run", "last_success_at", "may_be_frozen_since")


class TargetInline(_TargetInline):
    """The targets of a policy."""

    model = PolicyTarget
    form = TargetForm
    formset = TargetSet
    extra = 1


@admin.register(Policy)
class PolicyAdmin(Owned):
    """Policies with their targets, and what an operator does to them."""

    form = PolicyForm
    inlines = [TargetInline]
    fieldsets = (
        (None, {"fields": ("owner", "name", "account", *fields.lines(Group.MAIN))}),
        (Group.WHEN, {"fields": ("schedules", *fields.lines(Group.WHEN), "next_times")}),
        (Group.SCRIPTS, {"fields": fields.lines(Group.SCRIPTS)}),
        (Group.LIMITS, {"fields": fields.lines(Group.LIMITS)}),
        ("What became of it", {"fields": _KEPT}),
    )
    readonly_fields = ("next_times", *_KEPT)
    filter_horizontal = ("schedules",)
    list_display = (
        *("name", "owner", "enabled", "last_state", "may_be_frozen_since", "next_run_at"),
        *("last_success_at", "account"),
    )
    ordering = ("owner__username", "name")
    list_filter = ("enabled",)
    search_fields = ("name", "owner__username")
    actions = ("back_up", "confirm_thaw", "enable", "disable", "test_alarms")

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - see Owned
        """Read names along, and no secret."""
        rows = super().get_queryset(request).select_related("owner", "account", "last_run")
        return rows.defer("account__secret_access_key")

    def formfield_for_manytomany(
        self,
        db_field: Any,  # noqa: ANN401 - as Django declares it
        request: HttpRequest,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Offer the schedules that the person may see; that they are the owner's own, the rules see to."""
        rows = Schedule.objects.visible_to(person(request)).select_related("owner")
        kwargs |= {
            "queryset": rows.order_by("owner__username", "name"),
            "form_class": ScheduleChoices,
        }
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    @admin.display(description="last run", ordering="last_run__state")
    def last_state(self, policy: Policy) -> str:
        """Return how the last run ended."""
        return policy.last_run.state if policy.last_run else "-"

    @admin.display(description="next times")
    def next_times(self, policy: Policy) -> str:
        """Show the next five times."""
        return coming(outlook.of_policy(policy)) if policy.pk else "Saved first, then told."

    @admin.action(description="Back up now", permissions=["change"])
    def back_up(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:
        """Queue a run of each."""
        tell(self, request, operations.back_up(queryset, by=actor(request)))

    @admin.action(description="I have thawed it", permissions=["change"])
    def confirm_thaw(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:
        """Take the person's word, which stands in the run's history."""
        tell(self, request, operations.confirm_thaw(queryset, by=actor(request)))

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:
        """Let their schedules count again."""
        tell(self, request, operations.enable(queryset, by=actor(request)))

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:
        """Let nothing be due any more. A run that is under way goes on."""
        tell(self, request, operations.disable(queryset, by=actor(request)))

    @admin.action(
        description="Send a test message to everyone who gets alarms", permissions=["view"]
    )
    def test_alarms(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:
        """Send one test message to the policy's URLs and its owner's, and say which took it."""
        for policy in queryset:
            found = receivers.concerned(AlarmKind.FAILED, policy.pk, policy.owner_id)
            try_out(request, policy.label, found)

    def save_model(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        obj: Policy,
        form: _Form,
        change: bool,  # noqa: FBT001, ARG002
    ) -> None:
        """Save by the rules, and plan anew."""
        policies.save(obj, form.cleaned_data["schedules"])

    def save_formset(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        form: _Form,
        formset: _FormSet,
        change: bool,  # noqa: FBT001, ARG002
    ) -> None:
        """Replace the targets as a whole, so that two of them may swap their places."""
        formset.save(commit=False)  # it notes for the admin's log what has changed
        assert isinstance(formset, TargetSet)  # noqa: S101 - there is no other inline
        assert isinstance(form.instance, Policy)  # noqa: S101 - as above
        policies.replace_targets(form.instance, [kept.instance for kept in formset.kept()])

    def delete_model(self, request: HttpRequest, obj: Policy) -> None:  # noqa: ARG002 - Django's signature
        """Delete by the rules."""
        policies.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:  # noqa: ARG002
        """Delete them one by one, by the same rules."""
        for policy in queryset:
            policies.delete(policy)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:  # noqa: ANN401, ARG002 - Django's signature
        """Say what would go, and why it cannot."""
        return deleted(list(objs), "policies", [policies.why_not_deleted(o) for o in objs])
