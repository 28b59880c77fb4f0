"""Accounts, policies and runs in the admin. Who is no superuser meets only what is theirs."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import models
from django.forms import ModelForm
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from policies.domain.errors import RefusedError
from policies.forms import AccountForm, PolicyForm, TargetForm, TargetSet
from policies.models import (
    Account,
    PhaseResult,
    Policy,
    PolicyTarget,
    Run,
    RunEvent,
    RunSnapshot,
    RunTarget,
)
from policies.services import enrolling, policies, probing
from scripts_admin.models import User

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
    _TargetInline = admin.TabularInline[Any, Any]
    _RunTargetInline = admin.TabularInline[RunTarget, Run]
    _PhaseInline = admin.StackedInline[PhaseResult, Run]
    _EventInline = admin.TabularInline[RunEvent, Run]
    _Form = ModelForm[Any]
    _FormSet = BaseInlineFormSet[Any, Any, Any]
else:  # they take no types at run time
    _Admin = admin.ModelAdmin
    _TargetInline = _RunTargetInline = _EventInline = admin.TabularInline
    _PhaseInline = admin.StackedInline
    _Form = _FormSet = object


class Owned(_Admin):
    """Rows with an owner: seen, chosen and owned only by whom `visible_to` says."""

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - the mixin serves several models
        """Return what the person may see."""
        rows: Any = super().get_queryset(request)
        return rows.visible_to(_person(request))

    def formfield_for_foreignkey(
        self,
        db_field: Any,  # noqa: ANN401 - as Django declares it
        request: HttpRequest,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Offer only owners and accounts that the person may see; a stranger's is no valid choice."""
        person = _person(request)
        if db_field.name == "owner":
            people = User.objects.filter(is_active=True)
            kwargs["queryset"] = people if person.is_superuser else people.filter(pk=person.pk)
            kwargs["initial"] = person.pk
        if db_field.name == "account":
            kwargs["queryset"] = Account.objects.visible_to(person).defer("secret_access_key")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ANN401
        """Keep the owner of what is there: names, folders and keys go by them."""
        fixed = tuple(super().get_readonly_fields(request, obj))
        return (*fixed, "owner") if obj else fixed

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete; a refusal that came after the question is told on the page too."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except RefusedError as error:
            return _told(request, error, "..")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """List, and delete the chosen; as delete_view."""
        try:
            return super().changelist_view(request, extra_context)
        except RefusedError as error:
            return _told(request, error, request.get_full_path())


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the admin lets nobody else in
    return request.user


def _told(request: HttpRequest, error: Exception, target: str) -> HttpResponse:
    messages.error(request, str(error))
    return redirect(target)


def _deleted(
    rows: list[Any], noun: str, reasons: list[str]
) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
    """Return what Django's question shows; it deletes nothing while there is a reason against it."""
    return [str(row) for row in rows], {noun: len(rows)}, set(), [r for r in reasons if r]


@admin.register(Account)
@method_decorator(sensitive_post_parameters("new_secret", "access_key_id"), "changeform_view")
class AccountAdmin(Owned):
    """Accounts. The secret goes in and never comes out."""

    form = AccountForm
    fields = (
        *("owner", "name", "auth", "access_key_id", "new_secret"),
        *("role_arn", "external_id", "region"),
    )
    readonly_fields = ("external_id",)
    actions = ("test_accounts",)
    list_display = ("name", "owner", "auth", "region")
    list_select_related = ("owner",)

    @admin.action(description="Test the chosen accounts in AWS", permissions=["view"])
    def test_accounts(self, request: HttpRequest, queryset: models.QuerySet[Account]) -> None:
        """Ask AWS for each permission, and say what is missing."""
        for account in queryset.select_related("owner"):
            found = probing.probe(account)
            for sentence in found.problems:
                messages.error(request, f"{found.account}: {sentence}")
            if found.is_good:
                seen = f", AWS sees {found.arn}" if found.arn else ""
                messages.success(request, f"{found.account}: nothing is missing{seen}.")
            for each in found.answers:
                if each.result == probing.Result.NOT_TRIED:
                    messages.warning(request, f"{found.account}: {each.sentence}")

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - see Owned
        """Leave the secret where it is: no page needs it, and its key may be lost."""
        return super().get_queryset(request).defer("secret_access_key")

    def save_model(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        obj: Account,
        form: _Form,  # noqa: ARG002
        change: bool,  # noqa: FBT001, ARG002
    ) -> None:
        """Save by the rules."""
        enrolling.save(obj)

    def delete_model(self, request: HttpRequest, obj: Account) -> None:  # noqa: ARG002 - Django's signature
        """Delete by the rules."""
        enrolling.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Account]) -> None:  # noqa: ARG002
        """Delete them one by one, by the same rules."""
        for account in queryset:
            enrolling.delete(account)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:  # noqa: ANN401, ARG002 - Django's signature
        """Say what would go, and why it cannot."""
        return _deleted(list(objs), "accounts", [enrolling.why_not_deleted(o) for o in objs])


class TargetInline(_TargetInline):
    """The targets of a policy."""

    model = PolicyTarget
    form = TargetForm
    formset = TargetSet
    extra = 1


@admin.register(Policy)
class PolicyAdmin(Owned):
    """Policies with their targets."""

    form = PolicyForm
    inlines = [TargetInline]
    fields = (*policies.COLUMNS, "last_run", "last_success_at", "may_be_frozen_since")
    readonly_fields = ("last_run", "last_success_at", "may_be_frozen_since")
    list_display = ("name", "owner", "account", "enabled", "last_success_at", "may_be_frozen_since")
    list_filter = ("enabled",)
    search_fields = ("name",)

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - see Owned
        """Read names along, and no secret."""
        rows = super().get_queryset(request).select_related("owner", "account", "last_run")
        return rows.defer("account__secret_access_key")

    def save_model(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        obj: Policy,
        form: _Form,  # noqa: ARG002
        change: bool,  # noqa: FBT001, ARG002
    ) -> None:
        """Save by the rules."""
        policies.save(obj)

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
        return _deleted(list(objs), "policies", [policies.why_not_deleted(o) for o in objs])


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
        return _person(request).has_perm("policies.view_run")


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
