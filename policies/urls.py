"""The pages of policies, schedules and runs."""

from django.urls import path

from policies.views import (
    acting,
    audit,
    coverage,
    dashboard,
    entering,
    outputs,
    people,
    policies,
    run,
    runs,
    schedules,
    thawing,
)

urlpatterns = [
    path("", dashboard.index, name="index"),
    path("policies/", policies.listing, name="policies"),
    path("policies/<str:owner>/<str:name>/", policies.detail, name="policy"),
    path("policies/<str:owner>/<str:name>/thaw/", thawing.thaw, name="policy-thaw"),
    path("policies/<str:owner>/<str:name>/thawed/", thawing.thawed, name="policy-thawed"),
    path("policies/new/", entering.new, name="policy-new"),
    path("policies/<str:owner>/<str:name>/edit/", entering.edit, name="policy-edit"),
    path("policies/<str:owner>/<str:name>/back-up/", acting.back_up, name="policy-back-up"),
    path("policies/<str:owner>/<str:name>/switch/", acting.switch, name="policy-switch"),
    path("policies/<str:owner>/<str:name>/pause/", acting.pause, name="policy-pause"),
    path("policies/<str:owner>/<str:name>/resume/", acting.resume, name="policy-resume"),
    path("policies/<str:owner>/<str:name>/test/", acting.test, name="policy-test"),
    path("policies/<str:owner>/<str:name>/delete/", acting.delete, name="policy-delete"),
    path("runs/", runs.listing, name="runs"),
    path("runs/csv/", runs.export, name="runs_csv"),
    path("runs/<uuid:run_id>/", run.detail, name="run"),
    path("runs/<uuid:run_id>/compare/", run.compare, name="run_compare"),
    path("runs/<uuid:run_id>/<slug:word>/", run.deed, name="run_deed"),
    path(
        "runs/<uuid:run_id>/output/<str:phase>/<int:attempt>/<str:stream>",
        outputs.output,
        name="output",
    ),
    path("schedules/", schedules.listing, name="schedules"),
    # coverage
    path("coverage/", coverage.listing, name="coverage"),
    path("coverage/decide/", coverage.decide, name="coverage_decide"),
    path("coverage/left-out/", coverage.left_out, name="coverage_left_out"),
    path(
        "coverage/left-out/<int:decision_id>/take-back/",
        coverage.take_back,
        name="coverage_take_back",
    ),
    path("coverage/refresh/", coverage.look_again, name="coverage_refresh"),
    path("coverage/rules/", coverage.enrolment, name="coverage_rules"),
    path("coverage/rules/<int:rule_id>/remove/", coverage.remove_rule, name="coverage_rule_remove"),
    # The audit.
    path("audit/", audit.listing, name="audit"),
    path("audit/csv/", audit.export, name="audit_csv"),
    # People, for superusers.
    path("people/", people.listing, name="people"),
    path("people/invite/", people.invite, name="invite"),
    path("people/<str:name>/", people.detail, name="person"),
    path("people/<str:name>/link/", people.new_link, name="person-link"),
    path("people/<str:name>/deactivate/", people.deactivate, name="person-deactivate"),
    path("people/<str:name>/reactivate/", people.reactivate, name="person-reactivate"),
    path("people/<str:name>/rights/", people.set_rights, name="person-rights"),
    path(
        "people/<str:name>/reset-second-factor/",
        people.reset_second_factor,
        name="person-reset-second-factor",
    ),
    path("people/<str:name>/end-sessions/", people.end_sessions, name="person-end-sessions"),
]
