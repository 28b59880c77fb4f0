"""The pages of policies, schedules and runs."""

from django.urls import path

from policies.views import outputs, policies, runs, schedules

urlpatterns = [
    path("", runs.index, name="index"),
    path("policies/", policies.listing, name="policies"),
    path("policies/<str:owner>/<str:name>/", policies.detail, name="policy"),
    path("runs/", runs.listing, name="runs"),
    path("runs/csv/", runs.export, name="runs_csv"),
    path("runs/<uuid:run_id>/", runs.detail, name="run"),
    path(
        "runs/<uuid:run_id>/output/<str:phase>/<int:attempt>/<str:stream>",
        outputs.output,
        name="output",
    ),
    path("schedules/", schedules.listing, name="schedules"),
]
