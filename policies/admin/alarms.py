"""Alarms in the admin: where they go, a test of it, and what became of each message."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from policies.admin.owned import Owned, person
from policies.admin.runs import ReadOnly
from policies.domain.errors import InputError
from policies.forms.alarms import ReceiversForm
from policies.models import Alarm, AlarmDelivery, AlarmReceivers, Policy
from policies.services.alarms import receivers
from scripts_admin import permissions
from scripts_admin.models import User

if TYPE_CHECKING:
    _Form = ModelForm[Any]
    _DeliveryInline = admin.TabularInline[AlarmDelivery, Alarm]
else:  # they take no types at run time
    _Form = object
    _DeliveryInline = admin.TabularInline


@admin.register(AlarmReceivers)
@method_decorator(sensitive_post_parameters("new_urls", "new_ping_url"), "changeform_view")
class ReceiversAdmin(Owned):
    """Where alarms go. URLs go in and never come out."""

    form = ReceiversForm
    fields = ("user", "policy", "shown", "new_urls", "new_ping_url")
    readonly_fields = ("shown",)
    list_display = ("whose", "shown")
    actions = ("test_alarms",)

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - see Owned
        """Read names along; URLs only where their masked form is shown."""
        rows = super().get_queryset(request).defer("urls", "ping_url")
        return rows.select_related("user", "policy__owner")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - as Django declares it
        """Keep whose they are."""
        return ("shown", "user", "policy") if obj else ("shown",)

    def formfield_for_foreignkey(
        self,
        db_field: Any,  # noqa: ANN401 - as Django declares it
        request: HttpRequest,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Offer the person themselves and the policies that they may see; a superuser everybody's."""
        who = person(request)
        if db_field.name == "user":
            kwargs["queryset"] = permissions.possible_owners(User.objects.all(), who)
        elif db_field.name == "policy":
            kwargs["queryset"] = Policy.objects.visible_to(who).order_by("owner__username", "name")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description="whose")
    def whose(self, found: AlarmReceivers) -> str:
        """Show the user, or owner and policy."""
        return str(found)

    @admin.display(description="URLs")
    def shown(self, found: AlarmReceivers) -> str:
        """Show schema and masked host of each."""
        return ", ".join(receivers.shown(found)) or "-"

    @admin.action(description="Send a test message to the chosen", permissions=["view"])
    def test_alarms(self, request: HttpRequest, queryset: models.QuerySet[AlarmReceivers]) -> None:
        """Send one test message to each URL now, and say which took it."""
        for found in queryset:
            try_out(request, str(found), [found])

    def save_model(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        obj: AlarmReceivers,
        form: _Form,
        change: bool,  # noqa: FBT001, ARG002
    ) -> None:
        """Save by the rules."""
        assert isinstance(form, ReceiversForm)  # noqa: S101 - there is no other
        receivers.save(obj, form.entered())


class DeliveryInline(ReadOnly, _DeliveryInline):
    """Each receiver, masked, and why it has not got the message where that is so."""

    model = AlarmDelivery
    fields = ("shown", "state", "attempts", "next_at", "ended_at", "reason")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[AlarmDelivery]:
        """Leave the URL where it is."""
        return super().get_queryset(request).defer("url")


@admin.register(Alarm)
class AlarmAdmin(ReadOnly, Owned):
    """The outbox, to be looked at."""

    inlines = [DeliveryInline]
    fields = (
        *("kind", "label", "run", "title", "text"),
        *("count", "created_at", "not_before", "spread_at"),
    )
    list_display = ("created_at", "kind", "label", "title", "count")
    list_filter = ("kind",)
    search_fields = ("label",)
    show_full_result_count = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        """As for seeing runs."""
        return self.has_view_permission(request)


def try_out(request: HttpRequest, label: str, found: list[AlarmReceivers]) -> None:
    """Send one test message to each URL, and tell on the page what became of it."""
    try:
        tried = receivers.try_out(label, found)
    except InputError as error:
        messages.error(request, str(error))
        return
    for number, each in enumerate(tried, 1):
        sentence = f"{label}: {number}. {each.shown}: {each.problem or 'sent'}"
        (messages.error if each.problem else messages.success)(request, sentence)
