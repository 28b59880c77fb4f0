"""Who may what: every address that the server knows, for everybody, with every method.

The addresses come from the resolver. A new one fails here until it has a row, so somebody has to think about it.
"""

from pathlib import Path

import pytest
from pytest_django import Settings

from policies.adapters import session
from policies.adapters.memory import MemoryCloud
from scripts_admin.domain.rights import Right
from tests.policies.views import matrix, matrix_shared, opened_rows, recovery_rows

pytestmark = [pytest.mark.django_db, pytest.mark.lasts(20), pytest.mark.one_database]

# L: sent to the login page. F: forbidden. N: not found. A: away, as if the row did not exist. In these four cases
# nothing has changed, whatever was sent. R: may look, and cannot change a row of Alice's. W: may change it.
#
# nobody: not logged in. owner: Alice. other: another user. staff: without permissions. rights: staff with every
# permission, and not the owner. owning: Alice with staff status and every permission. boss: a superuser.
TABLE = """
                                                         nobody  owner  other  staff  rights  owning  boss
/                                                         L     R     R     R     R     R     R
accounts/                                                 L     R     R     R     R     R     R
accounts/<str:owner>/<str:name>/                          L     R     N     N     N     R     R
accounts/<str:owner>/<str:name>/delete/                   L     W     N     N     N     W     W
accounts/<str:owner>/<str:name>/edit/                     L     W     N     N     N     W     W
accounts/<str:owner>/<str:name>/ssm/                      L     W     N     N     N     W     W
accounts/<str:owner>/<str:name>/test/                     L     R     N     N     N     R     R
accounts/new/                                             L     W     W     W     W     W     W
admin/                                                    L     L     L     R     R     R     R
admin/(?P<url>.*)$                                        L     L     L     N     N     N     N
admin/^(?P<app_label>auth|policies|scripts_admin)/$       L     L     L     N     R     R     R
admin/auth/group/                                         L     L     L     F     F     F     W
admin/auth/group/<path:object_id>/                        L     L     L     R     R     R     R
admin/auth/group/<path:object_id>/change/                 L     L     L     F     F     F     W
admin/auth/group/<path:object_id>/delete/                 L     L     L     F     F     F     W
admin/auth/group/<path:object_id>/history/                L     L     L     F     F     F     R
admin/auth/group/add/                                     L     L     L     F     F     F     W
admin/autocomplete/                                       L     L     L     F     R     R     R
admin/jsi18n/                                             L     L     L     R     R     R     R
admin/login/                                              R     R     R     R     R     R     R
admin/logout/                                             A     A     A     R     R     R     R
admin/password_change/                                    L     L     L     R     R     R     R
admin/password_change/done/                               L     L     L     R     R     R     R
admin/policies/account/                                   L     L     L     F     R     W     W
admin/policies/account/<path:object_id>/                  L     L     L     R     R     R     R
admin/policies/account/<path:object_id>/change/           L     L     L     F     A     W     W
admin/policies/account/<path:object_id>/delete/           L     L     L     F     A     W     W
admin/policies/account/<path:object_id>/history/          L     L     L     A     A     R     R
admin/policies/account/add/                               L     L     L     F     R     W     W
admin/policies/alarm/                                     L     L     L     F     R     R     R
admin/policies/alarm/<path:object_id>/                    L     L     L     R     R     R     R
admin/policies/alarm/<path:object_id>/change/             L     L     L     F     A     R     R
admin/policies/alarm/<path:object_id>/delete/             L     L     L     F     F     F     F
admin/policies/alarm/<path:object_id>/history/            L     L     L     A     A     R     R
admin/policies/alarm/add/                                 L     L     L     F     F     F     F
admin/policies/alarmreceivers/                            L     L     L     F     R     W     W
admin/policies/alarmreceivers/<path:object_id>/           L     L     L     R     R     R     R
admin/policies/alarmreceivers/<path:object_id>/change/    L     L     L     F     A     W     W
admin/policies/alarmreceivers/<path:object_id>/delete/    L     L     L     F     A     W     W
admin/policies/alarmreceivers/<path:object_id>/history/   L     L     L     A     A     R     R
admin/policies/alarmreceivers/add/                        L     L     L     F     R     W     W
admin/policies/policy/                                    L     L     L     F     R     W     W
admin/policies/policy/<path:object_id>/                   L     L     L     R     R     R     R
admin/policies/policy/<path:object_id>/change/            L     L     L     F     A     W     W
admin/policies/policy/<path:object_id>/delete/            L     L     L     F     A     W     W
admin/policies/policy/<path:object_id>/history/           L     L     L     A     A     R     R
admin/policies/policy/add/                                L     L     L     F     R     W     W
admin/policies/run/                                       L     L     L     F     R     W     W
admin/policies/run/<path:object_id>/                      L     L     L     R     R     R     R
admin/policies/run/<path:object_id>/change/               L     L     L     F     A     R     R
admin/policies/run/<path:object_id>/delete/               L     L     L     F     F     F     F
admin/policies/run/<path:object_id>/history/              L     L     L     A     A     R     R
admin/policies/run/add/                                   L     L     L     F     F     F     F
admin/policies/schedule/                                  L     L     L     F     R     W     W
admin/policies/schedule/<path:object_id>/                 L     L     L     R     R     R     R
admin/policies/schedule/<path:object_id>/change/          L     L     L     F     A     W     W
admin/policies/schedule/<path:object_id>/delete/          L     L     L     F     A     W     W
admin/policies/schedule/<path:object_id>/history/         L     L     L     A     A     R     R
admin/policies/schedule/add/                              L     L     L     F     R     W     W
admin/policies/server/                                    L     L     L     F     R     R     R
admin/policies/server/<path:object_id>/                   L     L     L     R     R     R     R
admin/policies/server/<path:object_id>/change/            L     L     L     F     R     R     R
admin/policies/server/<path:object_id>/delete/            L     L     L     F     F     F     F
admin/policies/server/<path:object_id>/history/           L     L     L     F     R     R     R
admin/policies/server/add/                                L     L     L     F     F     F     F
admin/r/<path:content_type_id>/<path:object_id>/          L     L     L     N     N     N     N
admin/scripts_admin/folder/                               L     L     L     F     R     R     R
admin/scripts_admin/folder/<path:object_id>/              L     L     L     R     R     R     R
admin/scripts_admin/folder/<path:object_id>/change/       L     L     L     F     A     R     R
admin/scripts_admin/folder/<path:object_id>/delete/       L     L     L     F     F     F     F
admin/scripts_admin/folder/<path:object_id>/history/      L     L     L     A     A     R     R
admin/scripts_admin/folder/add/                           L     L     L     F     F     F     F
admin/scripts_admin/formerfolder/                         L     L     L     F     F     F     W
admin/scripts_admin/formerfolder/<path:object_id>/        L     L     L     R     R     R     R
admin/scripts_admin/formerfolder/<path:object_id>/change/ L     L     L     F     F     F     R
admin/scripts_admin/formerfolder/<path:object_id>/delete/ L     L     L     F     F     F     W
admin/scripts_admin/formerfolder/<path:object_id>/history/ L     L     L     F     F     F     R
admin/scripts_admin/formerfolder/add/                     L     L     L     F     F     F     F
admin/scripts_admin/user/                                 L     L     L     F     F     F     W
admin/scripts_admin/user/<id>/password/                   L     L     L     F     F     F     W
admin/scripts_admin/user/<path:object_id>/                L     L     L     R     R     R     R
admin/scripts_admin/user/<path:object_id>/change/         L     L     L     F     F     F     W
admin/scripts_admin/user/<path:object_id>/delete/         L     L     L     F     F     F     W
admin/scripts_admin/user/<path:object_id>/history/        L     L     L     F     F     F     R
admin/scripts_admin/user/add/                             L     L     L     F     F     F     W
costs/                                                    L     R     R     R     R     R     R
coverage/                                                 L     R     R     R     R     R     R
coverage/decide/                                          L     W     R     R     R     W     W
coverage/left-out/                                        L     R     R     R     R     R     R
coverage/left-out/<int:decision_id>/take-back/            L     W     N     N     N     W     W
coverage/refresh/                                         L     W     R     R     R     W     W
coverage/rules/                                           L     W     R     R     R     W     W
coverage/rules/<int:rule_id>/remove/                      L     W     N     N     N     W     W
alarms/                                                   L     R     R     R     R     R     R
alarms/mute/<str:owner>/<str:name>/                       L     W     N     N     N     W     W
alarms/receivers/<str:owner>/                             L     W     N     N     N     W     W
alarms/receivers/<str:owner>/<str:name>/                  L     W     N     N     N     W     W
audit/                                                    L     R     R     R     R     R     R
audit/csv/                                                L     R     R     R     R     R     R
files/<uuid:opened_id>/                                   L     R     N     N     N     R     R
files/<uuid:opened_id>/close/                             L     W     N     N     N     W     W
files/<uuid:opened_id>/copy/                              L     W     N     N     N     W     W
files/<uuid:opened_id>/download/                          L     R     N     N     N     R     R
files/<uuid:opened_id>/zip/                               L     R     N     N     N     R     R
first/<str:word>/                                         N     N     N     N     N     N     N
frozen/                                                   L     R     R     R     R     R     R
health/live                                               R     R     R     R     R     R     R
health/ready                                              R     R     R     R     R     R     R
invited/<str:word>/                                       N     N     N     N     N     N     N
login/                                                    R     R     R     R     R     R     R
login/code/                                               L     R     R     R     R     R     R
login/openid/                                             N     N     N     N     N     N     N
login/openid/back/                                        N     N     N     N     N     N     N
login/passkey/                                            L     R     R     R     R     R     R
logout/                                                   R     R     R     R     R     R     R
people/                                                   L     N     N     N     N     N     R
people/<str:name>/                                        L     N     N     N     N     N     R
people/<str:name>/deactivate/                             L     N     N     N     N     N     W
people/<str:name>/end-sessions/                           L     N     N     N     N     N     W
people/<str:name>/link/                                   L     N     N     N     N     N     W
people/<str:name>/reactivate/                             L     N     N     N     N     N     R
people/<str:name>/reset-second-factor/                    L     N     N     N     N     N     W
people/<str:name>/rights/                                 L     N     N     N     N     N     W
people/invite/                                            L     N     N     N     N     N     R
people/linux/accounts/                                    L     N     N     N     N     N     R
recoveries/                                               L     R     R     R     R     R     R
recoveries/<uuid:recovery_id>/                            L     R     N     N     N     R     R
recoveries/<uuid:recovery_id>/cancel/                     L     W     N     N     N     W     W
recoveries/<uuid:recovery_id>/undo/                       L     W     N     N     N     W     W
policies/                                                 L     R     R     R     R     R     R
policies/<str:owner>/<str:name>/                          L     R     N     N     N     R     R
recovery-report/                                          L     R     R     R     R     R     R
recovery-report/csv/                                      L     R     R     R     R     R     R
runs/<uuid:run_id>/scripts/<slug:phase>/<int:attempt>/    L     R     N     N     N     R     R
scripts/<str:owner>/files/<str:name>/versions/            L     R     N     N     N     R     R
scripts/<str:owner>/files/<str:name>/versions/<int:version_id>/ L  R     N     N     N     R     R
scripts/<str:owner>/files/<str:name>/versions/<int:version_id>/restore/ L W N   N     N     W     W
scripts/<str:owner>/files/<str:name>/versions/<int:version_id>/review/ L R N    N     N     R     W
scripts/<str:owner>/reviews/                              L     R     N     N     N     R     R
scripts/<str:owner>/reviews/look/                         L     W     N     N     N     W     W
scripts/<str:owner>/reviews/switch/                       L     W     N     N     N     W     W
profile/                                                  L     W     W     W     W     W     W
profile/confirm/                                          L     R     R     R     R     R     R
profile/confirm/code/                                     L     R     R     R     R     R     R
profile/confirm/passkey/                                  L     R     R     R     R     R     R
profile/factors/                                          L     R     R     R     R     R     R
profile/factors/app/                                      L     R     R     R     R     R     R
profile/factors/app/remove/                               L     N     N     N     N     N     N
profile/factors/codes/                                    L     N     N     N     N     N     N
profile/factors/codes/download/                           L     N     N     N     N     N     N
profile/factors/codes/new/                                L     R     R     R     R     R     R
profile/factors/passkeys/                                 L     R     R     R     R     R     R
profile/factors/passkeys/<int:pk>/name/                   L     N     N     N     N     N     N
profile/factors/passkeys/<int:pk>/remove/                 L     N     N     N     N     N     N
profile/factors/passkeys/add/                             L     R     R     R     R     R     R
profile/openid/connect/                                   N     N     N     N     N     N     N
profile/openid/disconnect/                                N     N     N     N     N     N     N
profile/openid/go/                                        N     N     N     N     N     N     N
profile/password/                                         L     W     W     W     W     W     W
profile/sessions/<int:session>/end/                       L     R     R     R     R     R     R
profile/sessions/end-others/                              L     R     R     R     R     R     R
policies/<str:owner>/<str:name>/thaw/                     L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/thawed/                   L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/back-up/                  L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/delete/                   L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/copies/                   L     R     N     N     N     R     R
policies/<str:owner>/<str:name>/copies/<int:key>/         L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/copies/<int:key>/remove/  L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/copies/new/               L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/costs/                    L     R     N     N     N     R     R
policies/<str:owner>/<str:name>/drill/                    L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/edit/                     L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/log-in/                   L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/pause/                    L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/retention/                L     R     N     N     N     R     R
policies/<str:owner>/<str:name>/resume/                   L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/sharing/                  L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/switch/                   L     W     N     N     N     W     W
policies/<str:owner>/<str:name>/test/                     L     W     N     N     N     W     W
policies/new/                                             L     W     R     R     R     W     W
proofs/                                                   L     R     R     R     R     R     R
proofs/<uuid:proof_id>/                                   L     R     N     N     N     R     R
runs/                                                     L     R     R     R     R     R     R
runs/<uuid:run_id>/                                       L     R     N     N     N     R     R
runs/csv/                                                 L     R     R     R     R     R     R
runs/<uuid:run_id>/<slug:word>/                           L     W     N     N     N     W     W
runs/<uuid:run_id>/compare/                               L     R     N     N     N     R     R
runs/<uuid:run_id>/copies/again/                          L     W     N     N     N     W     W
runs/<uuid:run_id>/hold/                                  L     W     N     N     N     W     W
runs/<uuid:run_id>/prove/                                 L     W     N     N     N     W     W
runs/<uuid:run_id>/release/                               L     W     N     N     N     W     W
runs/<uuid:run_id>/restore/                               L     W     N     N     N     W     W
runs/<uuid:run_id>/take-back/                             L     W     N     N     N     W     W
runs/<uuid:run_id>/instances/<str:instance>/output/<str:phase>/<int:attempt>/<str:stream> L R N N N R R
runs/<uuid:run_id>/instances/<str:instance>/scripts/<slug:phase>/<int:attempt>/ L R     N     N     N     R     R
runs/<uuid:run_id>/output/<str:phase>/<int:attempt>/<str:stream> L     R     N     N     N     R     R
scripts/<str:owner>/sharing/                              L     W     N     N     N     W     W
schedules/                                                L     R     R     R     R     R     R
schedules/<str:owner>/<str:name>/                         L     R     N     N     N     R     R
schedules/<str:owner>/<str:name>/delete/                  L     W     N     N     N     W     W
schedules/<str:owner>/<str:name>/edit/                    L     W     N     N     N     W     W
schedules/new/                                            L     W     W     W     W     W     W
scripts/<str:owner>/hosts/                                L     W     N     N     N     W     W
scripts/<str:owner>/hosts/<uuid:host_id>/                 L     W     N     N     N     W     W
scripts/<str:owner>/keys/                                 L     W     N     N     N     W     W
scripts/                                                  L     R     R     R     R     R     R
scripts/<str:owner>/                                      L     R     N     N     N     R     R
scripts/<str:owner>/files/<str:name>/                     L     R     N     N     N     R     R
scripts/<str:owner>/files/<str:name>/copy/                L     W     N     N     N     W     W
scripts/<str:owner>/files/<str:name>/delete/              L     W     N     N     N     W     W
scripts/<str:owner>/files/<str:name>/download/            L     R     N     N     N     R     R
scripts/<str:owner>/files/<str:name>/edit/                L     W     N     N     N     W     W
scripts/<str:owner>/files/<str:name>/executable/          L     W     N     N     N     W     W
scripts/<str:owner>/files/<str:name>/rename/              L     W     N     N     N     W     W
scripts/<str:owner>/new/                                  L     W     N     N     N     W     W
scripts/<str:owner>/recipes/                              L     R     N     N     N     R     R
scripts/<str:owner>/recipes/<slug:slug>/                  L     W     N     N     N     W     W
scripts/<str:owner>/undo/                                 L     W     N     N     N     W     W
scripts/<str:owner>/upload/                               L     W     N     N     N     W     W
server/                                                   L     N     N     N     N     N     W
snapshots/                                                L     R     R     R     R     R     R
snapshots/<slug:snapshot_id>/files/                       L     W     N     N     N     W     W
theme/                                                    R     R     R     R     R     R     R
"""
# Alice shares her policies and her folder with five people; each has one right on them. What names something of
# hers and has no row here does not exist for any of them.
SHARED = """
                                                         view  edit  run  approve  restore
alarms/mute/<str:owner>/<str:name>/                       N     W     N     N     N
files/<uuid:opened_id>/                                   N     N     N     N     R
files/<uuid:opened_id>/close/                             N     N     N     N     W
files/<uuid:opened_id>/copy/                              N     N     N     N     W
files/<uuid:opened_id>/download/                          N     N     N     N     R
files/<uuid:opened_id>/zip/                               N     N     N     N     R
policies/<str:owner>/<str:name>/                          R     R     R     R     R
policies/<str:owner>/<str:name>/back-up/                  N     N     W     N     N
policies/<str:owner>/<str:name>/copies/                   R     R     R     R     R
policies/<str:owner>/<str:name>/copies/<int:key>/         N     W     N     N     N
policies/<str:owner>/<str:name>/copies/<int:key>/remove/  N     W     N     N     N
policies/<str:owner>/<str:name>/copies/new/               N     W     N     N     N
policies/<str:owner>/<str:name>/costs/                    R     R     R     R     R
policies/<str:owner>/<str:name>/drill/                    N     N     W     N     N
policies/<str:owner>/<str:name>/edit/                     N     W     N     N     N
policies/<str:owner>/<str:name>/log-in/                   N     N     W     N     N
policies/<str:owner>/<str:name>/pause/                    N     W     N     N     N
policies/<str:owner>/<str:name>/retention/                R     R     R     R     R
policies/<str:owner>/<str:name>/resume/                   N     W     N     N     N
policies/<str:owner>/<str:name>/switch/                   N     W     N     N     N
policies/<str:owner>/<str:name>/test/                     N     N     W     N     N
policies/<str:owner>/<str:name>/thaw/                     N     N     W     N     N
policies/<str:owner>/<str:name>/thawed/                   N     N     W     N     N
proofs/<uuid:proof_id>/                                   R     R     R     R     R
recoveries/<uuid:recovery_id>/                            R     R     R     R     R
recoveries/<uuid:recovery_id>/cancel/                     N     N     N     N     W
recoveries/<uuid:recovery_id>/undo/                       N     N     N     N     W
runs/<uuid:run_id>/                                       R     R     R     R     R
runs/<uuid:run_id>/<slug:word>/                           N     N     W     N     N
runs/<uuid:run_id>/compare/                               R     R     R     R     R
runs/<uuid:run_id>/copies/again/                          N     N     W     N     N
runs/<uuid:run_id>/hold/                                  N     W     N     N     N
runs/<uuid:run_id>/prove/                                 N     N     W     N     N
runs/<uuid:run_id>/release/                               N     W     N     N     N
runs/<uuid:run_id>/restore/                               N     N     N     N     W
runs/<uuid:run_id>/take-back/                             N     W     N     N     N
runs/<uuid:run_id>/instances/<str:instance>/output/<str:phase>/<int:attempt>/<str:stream> R R R R R
runs/<uuid:run_id>/instances/<str:instance>/scripts/<slug:phase>/<int:attempt>/ R R R R N
runs/<uuid:run_id>/output/<str:phase>/<int:attempt>/<str:stream> R R R R R
runs/<uuid:run_id>/scripts/<slug:phase>/<int:attempt>/    R     R     R     R     N
scripts/<str:owner>/                                      R     R     R     R     N
scripts/<str:owner>/files/<str:name>/                     R     R     R     R     N
scripts/<str:owner>/files/<str:name>/copy/                N     W     N     N     N
scripts/<str:owner>/files/<str:name>/delete/              N     W     N     N     N
scripts/<str:owner>/files/<str:name>/download/            R     R     R     R     N
scripts/<str:owner>/files/<str:name>/edit/                N     W     N     N     N
scripts/<str:owner>/files/<str:name>/executable/          N     W     N     N     N
scripts/<str:owner>/files/<str:name>/rename/              N     W     N     N     N
scripts/<str:owner>/files/<str:name>/versions/            R     R     R     R     N
scripts/<str:owner>/files/<str:name>/versions/<int:version_id>/ R R R R N
scripts/<str:owner>/files/<str:name>/versions/<int:version_id>/restore/ N W N N N
scripts/<str:owner>/files/<str:name>/versions/<int:version_id>/review/ R W R R N
scripts/<str:owner>/hosts/                                R     R     R     W     N
scripts/<str:owner>/hosts/<uuid:host_id>/                 R     R     R     W     N
scripts/<str:owner>/keys/                                 R     W     R     R     N
scripts/<str:owner>/new/                                  N     W     N     N     N
scripts/<str:owner>/recipes/                              N     R     N     N     N
scripts/<str:owner>/reviews/                              R     R     R     R     N
scripts/<str:owner>/reviews/look/                         N     W     N     N     N
scripts/<str:owner>/recipes/<slug:slug>/                  N     W     N     N     N
scripts/<str:owner>/undo/                                 N     W     N     N     N
scripts/<str:owner>/upload/                               N     W     N     N     N
snapshots/<slug:snapshot_id>/files/                       N     N     N     N     W
"""
NO_DEED = ("N", "N", "N", "N", "N")
EXPECTED = {
    "" if row.split()[0] == "/" else " ".join(row.split()[:-7]): tuple(row.split()[-7:])
    for row in TABLE.strip().splitlines()[1:]
}
EXPECTED_SHARED = {
    " ".join(row.split()[:-5]): tuple(row.split()[-5:]) for row in SHARED.strip().splitlines()[1:]
}
GROUPS = sorted({matrix.group(route) for route in EXPECTED})


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer the questions of an account's test."""
    made = MemoryCloud()
    monkeypatch.setattr(session, "cloud", lambda _credentials: made)
    recovery_rows.aws(made, monkeypatch)


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings) -> None:
    """Give opened snapshots a file to show, and the server an id."""
    settings.N2W_HOME = tmp_path
    top = tmp_path / "disk"
    top.mkdir()
    (top / "file").write_text("")
    opened_rows.lay(top, monkeypatch)


def test_every_address_has_a_row() -> None:
    assert sorted(EXPECTED) == matrix.routes()


@pytest.mark.parametrize("group", GROUPS)
def test_everybody_may_what_the_table_says(group: str) -> None:
    world = matrix.made()
    rows = {route: row for route, row in EXPECTED.items() if matrix.group(route) == group}

    found = {
        route: tuple(matrix.observed(world, route, who) for who in matrix.WHO) for route in rows
    }

    assert found == rows


@pytest.mark.parametrize("right", Right)
def test_each_right_opens_what_the_table_says_and_nothing_else_of_the_owners(right: Right) -> None:
    world = matrix_shared.made()
    named = _named()

    found = {route: matrix.observed(world, route, right) for route in named}

    at = list(Right).index(right)
    assert found == {route: EXPECTED_SHARED.get(route, NO_DEED)[at] for route in named}
    assert not EXPECTED_SHARED.keys() - set(named)


def _named() -> list[str]:
    # The admin shows shared rows to nobody; the pages of a profile are everybody's own.
    return [
        route
        for route in matrix.routes()
        if "<" in route
        and not route.startswith(("admin/", "people/", "profile/", "first/", "invited/"))
    ]


def test_a_shared_policy_opens_no_scripts_and_a_shared_folder_nothing_else() -> None:
    world = matrix_shared.made()
    named = _named()
    # Scripts are seen by a right on the folder alone, and all else by one on the policy alone. Only hosts that are
    # approved for a policy are approved for its folder.
    scripts = {route for route in named if "scripts/" in route}
    hosts = {route for route in scripts if "/hosts/" in route}
    apart = [(scripts - hosts, "policies"), ({*named} - scripts, "folders")]
    for routes, who in apart:
        seen = {route: matrix.observed(world, route, who) for route in sorted(routes)}
        assert {route: word for route, word in seen.items() if word != "N"} == {}
    assert {matrix.observed(world, route, "policies") for route in hosts} == {"W"}
