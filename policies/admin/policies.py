"""Policies and their targets in the admin."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.forms import ModelForm
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest

from policies.admin.owned import Owned, deleted
from policies.forms import PolicyForm, TargetForm, TargetSet
from policies.models import Policy, PolicyTarget
from policies.services import policies

if TYPE_CHECKING:
    _TargetInline = admin.TabularInline[Any, Any]
    _Form = ModelForm[Any]
    _FormSet = BaseInlineFormSet[Any, Any, Any]
else:  # they take no types at run time
    _TargetInline = admin.TabularInline
    _Form = _FormSet = object


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
        return deleted(list(objs), "policies", [policies.why_not_deleted(o) for o in objs])
