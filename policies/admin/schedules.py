"""The admin pages of schedules."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from n2wbackup.lib import components
from policies.admin.owned import Owned, deleted
from policies.forms.schedules import ScheduleForm
from policies.models import Policy, Schedule
from policies.services.due import outlook
from policies.services.entry import schedules

if TYPE_CHECKING:
    _Form = ModelForm[Any]
else:  # it takes no types at run time
    _Form = object


@admin.register(Schedule)
class ScheduleAdmin(Owned):
    """Schedules with their next times and the policies that follow them."""

    form = ScheduleForm
    fieldsets = (
        (None, {"fields": ("owner", "name")}),
        ("When", {"fields": ("cron", ("every_number", "every_unit"), "starting", "ending")}),
        ("Time zone and disabled times", {"fields": ("timezone", "disabled")}),
        ("Next times and policies", {"fields": ("next_times", "followers")}),
    )
    readonly_fields = ("next_times", "followers")
    list_display = ("name", "owner", "when", "timezone", "followed_by", "next_time")
    list_select_related = ("owner",)
    ordering = ("owner__username", "name")
    list_per_page = 25  # the page computes the next time of each
    search_fields = ("name", "owner__username")

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - see Owned
        """Count the policies that follow each schedule in the same query."""
        of_it = Policy.schedules.through.objects.filter(schedule=OuterRef("pk"))
        number = of_it.order_by().values("schedule").values_list(models.Count("pk"))
        return super().get_queryset(request).annotate(number=Coalesce(Subquery(number), 0))

    @admin.display(description="when")
    def when(self, row: Schedule) -> str:
        return outlook.in_words(row)

    @admin.display(description="policies", ordering="number")
    def followed_by(self, row: Any) -> int:  # noqa: ANN401 - a schedule, counted in get_queryset
        return int(row.number)

    @admin.display(description="next time")
    def next_time(self, row: Schedule) -> str:
        """The next time in UTC, or the reason why there is none."""
        ahead = outlook.of_schedule(row, looked_at=outlook.LOOKED_AT_IN_A_LIST)
        return components.moment(ahead.times[0], "minute") if ahead.times else ahead.note

    @admin.display(description="next times")
    def next_times(self, row: Schedule) -> str:
        return coming(outlook.of_schedule(row)) if row.pk else "Shown after you save the schedule."

    @admin.display(description="policies")
    def followers(self, row: Schedule) -> SafeString | str:
        rows = Policy.objects.filter(schedules=row.pk).select_related("owner").order_by("name")
        links = [(reverse("policy", args=[p.owner.username, p.name]), p.name) for p in rows]
        return format_html_join(", ", '<a href="{}">{}</a>', links) or "none"

    def save_model(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        obj: Schedule,
        form: _Form,  # noqa: ARG002
        change: bool,  # noqa: FBT001, ARG002
    ) -> None:
        """Save, and compute the next due times of its policies again."""
        schedules.save(obj)

    def delete_model(self, request: HttpRequest, obj: Schedule) -> None:  # noqa: ARG002 - Django's signature
        schedules.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Schedule]) -> None:  # noqa: ARG002
        for row in queryset:
            schedules.delete(row)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:  # noqa: ANN401, ARG002 - Django's signature
        return deleted(list(objs), "schedules", [schedules.why_not_deleted(o) for o in objs])


def coming(ahead: outlook.Outlook) -> SafeString | str:
    """Show a line for each time, in UTC and in the schedules' time zones."""
    if not ahead.times:
        return ahead.note
    lines = ((components.moment(at, "minute"), _by_clocks(at, ahead.zones)) for at in ahead.times)
    return format_html("<div>{}</div>", format_html_join("", "<div>{}{}</div>", lines))


def _by_clocks(at: datetime, zones: tuple[str, ...]) -> str:
    return "".join(f" · {components.by_clock(at, zone)}" for zone in zones)
