"""A server that is not root writes into an account's own .ssh as that account, through the launcher."""

import json
import stat
from collections.abc import Iterator

import pytest

from tests.ground import launcher
from tests.ground.launcher import Place

pytestmark = [pytest.mark.real, pytest.mark.lasts(8)]
WRITE = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "n2wbackup.settings.test"
import django
django.setup()
from scripts_admin.guard.spool import RunAs
from scripts_admin.hosts import own_account
from scripts_admin.linux_accounts import AccountError
home, name, uid = json.loads(sys.argv[1])
identity = RunAs(name, uid, uid, (uid,))
try:
    own_account.follow(
        home, identity, config=lambda names: f"Host *\\n  # {sorted(names)}\\n",
        known_hosts="db1 ssh-ed25519 AAAA\\n", keys={"n2wbackup_id_1": b"secret'\\n"},
    )
except AccountError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with launcher.installed("n2wl-keys") as found:
        yield found


def test_the_files_are_the_accounts_own_and_what_it_wrote_stays(place: Place) -> None:
    (account,) = place.accounts
    ssh = place.view / "homes" / account.pw_name / ".ssh"
    words = json.dumps([account.pw_dir, account.pw_name, account.pw_uid])
    write = [place.python, "-c", WRITE, words]
    own = f"mkdir -m 700 {account.pw_dir}/.ssh && echo 'Host mine' >{account.pw_dir}/.ssh/config"
    assert place.run("sh", "-c", own, user=account).returncode == 0

    for _ in range(2):
        done = place.run(*write, user=place.server)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr

    key = ssh / "n2wbackup_id_1"
    assert key.read_text() == "secret'\n"
    assert (key.stat().st_uid, stat.S_IMODE(key.stat().st_mode)) == (account.pw_uid, 0o600)
    assert (ssh / "config").read_text().endswith("# END n2wbackup\nHost mine\n")
    assert "db1 ssh-ed25519 AAAA" in (ssh / "known_hosts").read_text()
    assert sorted(each.name for each in ssh.iterdir()) == ["config", "known_hosts", key.name]

    place.lines[account.pw_name]["state"] = "locked"
    place.write_list()
    key.unlink()
    assert "Nothing could be done as n2wl-keys" in place.run(*write, user=place.server).stdout
    assert not key.exists()
