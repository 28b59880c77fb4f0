"""The company of the demo with its year of history, in the database of the tests: pages as operators have them."""

from pathlib import Path

from n2wbackup.demo import company, distant, past, stage
from n2wbackup.demo.aws import SimulatedAws
from n2wbackup.demo.sshd import Sshd
from n2wbackup.lib import clock
from scripts_admin.hosts import keypairs
from scripts_admin.models import User
from scripts_admin.services import users


def people() -> tuple[User, User, User]:
    """Make the two operators and the superuser."""
    made = [User(username=name) for name in (stage.OPERATOR, stage.COLLEAGUE, stage.ADMIN)]
    made[-1].is_superuser = made[-1].is_staff = True
    for person in made:
        person.set_password("correct horse battery")
        users.save(person)
    return made[0], made[1], made[2]


def furnish(folder: Path) -> User:
    """Set the company up, and make its past up; return the superuser."""
    alice, bob, boss = people()
    with SimulatedAws(folder / "aws") as aws:
        policies = company.furnish(aws, (alice, bob))
        distant.by_ssm(aws, policies["wiki"].account)
        distant.by_ssh(aws, policies["orders"].account, _host(folder))
    past.make_up(policies, clock.now())
    return boss


def _host(folder: Path) -> Sshd:
    """Return a host that answers to nobody: pages ask none."""
    return Sshd(folder, 22, "backup", keypairs.make().public, ())
