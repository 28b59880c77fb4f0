"""The admin pages of policies and their targets."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.db.models import Q
from django.forms import ModelForm
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest

from n2wbackup.lib import row_keys
from policies.admin import lists
from policies.admin.alarms import try_out
from policies.admin.owned import Owned, actor, deleted, person, tell
from policies.admin.schedules import coming
from policies.domain.alarms.messages import AlarmKind
from policies.domain.document import fields
from policies.domain.document.kinds import Group
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

# Runs keep these up to date; nobody enters them.
_KEPT = ("last_run", "last_success_at", "may_be_frozen_since")


class TargetInline(_TargetInline):
    model = PolicyTarget
    form = TargetForm
    formset = TargetSet
    extra = 1


@admin.register(Policy)
class PolicyAdmin(Owned):
    """Policies with their targets, and the actions of an operator."""

    form = PolicyForm
    inlines = [TargetInline]
    fieldsets = (
        (None, {"fields": ("owner", "name", "account", *fields.lines(Group.MAIN))}),
        (Group.WHEN, {"fields": ("schedules", *fields.lines(Group.WHEN), "next_times")}),
        (Group.SCRIPTS, {"fields": fields.lines(Group.SCRIPTS)}),
        (Group.LIMITS, {"fields": fields.lines(Group.LIMITS)}),
        (Group.RETENTION, {"fields": fields.lines(Group.RETENTION)}),
        (Group.PROOF, {"fields": fields.lines(Group.PROOF)}),
        ("Latest results", {"fields": _KEPT}),
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
    paginator = lists.Counted
    show_full_result_count = False
    list_per_page = 50
    actions = ("back_up", "confirm_thaw", "enable", "disable", "test_alarms")

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - see Owned
        """Read the names in the same query, and no secret."""
        rows = super().get_queryset(request).select_related("owner", "account", "last_run")
        return rows.defer("account__secret_access_key")

    def formfield_for_manytomany(
        self,
        db_field: Any,  # noqa: ANN401 - as Django declares it
        request: HttpRequest,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Offer the schedules that the person may see; of a stored policy, only its owner's can be chosen."""
        rows = Schedule.objects.visible_to(person(request)).select_related("owner")
        match = request.resolver_match
        key = str(match.kwargs.get("object_id", "")) if match else ""
        if row_keys.is_key(key):
            policy = Policy.objects.filter(pk=key)
            followed = Schedule.objects.filter(policies=int(key))
            rows = rows.filter(
                Q(owner__in=policy.values("owner")) | Q(pk__in=followed.values("pk"))
            )
        kwargs |= {
            "queryset": rows.order_by("owner__username", "name"),
            "form_class": ScheduleChoices,
        }
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    @admin.display(description="last run", ordering="last_run__state")
    def last_state(self, policy: Policy) -> str:
        return policy.last_run.state if policy.last_run else "-"

    @admin.display(description="next runs")
    def next_times(self, policy: Policy) -> str:
        return (
            coming(outlook.of_policy(policy)) if policy.pk else "Shown after you save the policy."
        )

    @admin.action(description="Back up now", permissions=["change"])
    def back_up(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:
        """Queue a run of each policy."""
        tell(self, request, operations.back_up(queryset, by=actor(request)))

    @admin.action(description="Confirm that I have thawed the application", permissions=["change"])
    def confirm_thaw(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:
        """Trust the person's confirmation, and record it in the run's history."""
        tell(self, request, operations.confirm_thaw(queryset, by=actor(request)))

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:
        """From now on the policies' schedules start runs again."""
        tell(self, request, operations.enable(queryset, by=actor(request)))

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:
        """From now on no schedule starts a run of these policies. A current run continues."""
        tell(self, request, operations.disable(queryset, by=actor(request)))

    @admin.action(
        description="Send a test message to everyone who gets alarms", permissions=["view"]
    )
    def test_alarms(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:
        """Send one test message to each URL of the policy and of its owner, and show each result."""
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
        """Save, and compute the next due time again."""
        policies.save(obj, form.cleaned_data["schedules"])

    def save_formset(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        form: _Form,
        formset: _FormSet,
        change: bool,  # noqa: FBT001, ARG002
    ) -> None:
        """Replace all targets at once, so that two of them can swap places."""
        formset.save(commit=False)  # it records the changes for the admin's log
        assert isinstance(formset, TargetSet)  # noqa: S101 - there is no other inline
        assert isinstance(form.instance, Policy)  # noqa: S101 - as above
        policies.replace_targets(form.instance, [kept.instance for kept in formset.kept()])

    def delete_model(self, request: HttpRequest, obj: Policy) -> None:  # noqa: ARG002 - Django's signature
        policies.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Policy]) -> None:  # noqa: ARG002
        for policy in queryset:
            policies.delete(policy)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:  # noqa: ANN401, ARG002 - Django's signature
        return deleted(list(objs), "policies", [policies.why_not_deleted(o) for o in objs])
