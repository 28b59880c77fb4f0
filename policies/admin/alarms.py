"""The admin pages of alarms: their receivers, a test of these, and the result of each message."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from policies.admin import lists
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
    """People can enter URLs, but a page shows only their masked form."""

    form = ReceiversForm
    fields = ("user", "policy", "shown", "new_urls", "new_ping_url")
    readonly_fields = ("shown",)
    list_display = ("whose", "shown")
    list_per_page = 25  # the page decrypts the URLs of each
    autocomplete_fields = ("policy",)
    actions = ("test_alarms",)

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - see Owned
        """Read the names in the same query, and URLs only where their masked form is shown."""
        rows = super().get_queryset(request).defer("urls", "ping_url")
        return rows.select_related("user", "policy__owner")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - as Django declares it
        """A stored row keeps its user or policy."""
        return ("shown", "user", "policy") if obj else ("shown",)

    def formfield_for_foreignkey(
        self,
        db_field: Any,  # noqa: ANN401 - as Django declares it
        request: HttpRequest,
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Offer only the person and their policies; a superuser gets all of them."""
        who = person(request)
        if db_field.name == "user":
            kwargs["queryset"] = permissions.possible_owners(User.objects.all(), who)
        elif db_field.name == "policy":
            own = permissions.owned(Policy.objects.all(), who)
            kwargs["queryset"] = own.order_by("owner__username", "name")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description="whose")
    def whose(self, found: AlarmReceivers) -> str:
        return str(found)

    @admin.display(description="URLs")
    def shown(self, found: AlarmReceivers) -> str:
        """Show the scheme and masked host of each URL."""
        return ", ".join(receivers.shown(found)) or "-"

    @admin.action(description="Send a test message to the selected receivers", permissions=["view"])
    def test_alarms(self, request: HttpRequest, queryset: models.QuerySet[AlarmReceivers]) -> None:
        """Send one test message to each URL now, and show the result of each."""
        for found in queryset:
            try_out(request, str(found), [found])

    def save_model(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        obj: AlarmReceivers,
        form: _Form,
        change: bool,  # noqa: FBT001, ARG002
    ) -> None:
        assert isinstance(form, ReceiversForm)  # noqa: S101 - there is no other
        receivers.save(obj, form.entered())

    def delete_model(self, request: HttpRequest, obj: AlarmReceivers) -> None:  # noqa: ARG002 - Django's signature
        receivers.remove(obj)

    def delete_queryset(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        queryset: models.QuerySet[AlarmReceivers],
    ) -> None:
        for found in queryset:
            receivers.remove(found)


class DeliveryInline(ReadOnly, _DeliveryInline):
    """Each receiver, masked, and the reason if it has not got the message."""

    model = AlarmDelivery
    fields = ("shown", "state", "attempts", "next_at", "ended_at", "reason")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[AlarmDelivery]:
        return super().get_queryset(request).defer("url")


@admin.register(Alarm)
class AlarmAdmin(ReadOnly, Owned):
    """The outbox, read-only."""

    inlines = [DeliveryInline]
    fields = (
        *("kind", "label", "run", "title", "text"),
        *("count", "created_at", "not_before", "spread_at"),
    )
    list_display = ("created_at", "kind", "label", "title", "count")
    list_filter = ("kind",)
    search_fields = ("label",)
    paginator = lists.Counted
    show_full_result_count = False
    list_per_page = 50

    def has_module_permission(self, request: HttpRequest) -> bool:
        """The same right as for seeing runs."""
        return self.has_view_permission(request)


def try_out(request: HttpRequest, label: str, found: list[AlarmReceivers]) -> None:
    """Send one test message to each URL, and show the results on the page."""
    try:
        tried = receivers.try_out(label, found)
    except InputError as error:
        messages.error(request, str(error))
        return
    for number, each in enumerate(tried, 1):
        sentence = f"{label}: {number}. {each.shown}: {each.problem or 'sent'}"
        (messages.error if each.problem else messages.success)(request, sentence)
