"""Commands that name an owner, a policy or a run: a name that is not there is told, and nothing is changed.

They ask for no rights: whoever can use them can read the database, too. So none of them takes a person's name to
act for, and none guesses another owner's row from a name that is nearly right.
"""

import contextlib
import io
from argparse import Action

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class

from tests import factories
from tests.policies.views import changes

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
APPS = {"policies", "scripts_admin", "n2wbackup"}
MISSING = {
    "OWNER": "alicia",
    "OWNER/NAME": "alicia/policy1",
    "OWNER[/NAME]": "alicia/policy1",
    "RUN|OWNER/NAME": "alicia/policy1",
    "UUID": "0b0e2a1e-0000-4000-8000-000000000000",
}


def actions(name: str) -> list[Action]:
    command = load_command_class(get_commands()[name], name)
    return list(command.create_parser("manage.py", name)._actions)


def naming() -> list[tuple[str, str, str]]:
    """Return each command that names something of an owner, with its option, and a name that is not there."""
    ours = sorted(name for name, app in get_commands().items() if app in APPS)
    return [
        (name, (action.option_strings or [""])[-1], MISSING[str(action.metavar)])
        for name in ours
        for action in actions(name)
        if str(action.metavar) in MISSING
    ]


def test_every_metavar_of_an_owner_is_tried() -> None:
    ours = [name for name, app in get_commands().items() if app in APPS]
    words = {str(action.metavar) for name in ours for action in actions(name)}

    assert {word for word in words if "OWNER" in word or "UUID" in word} == set(MISSING)


@pytest.mark.parametrize(("name", "option", "missing"), naming())
def test_a_name_that_is_not_there_changes_nothing(name: str, option: str, missing: str) -> None:
    policy = factories.PolicyFactory.create(owner=factories.alice(), name="policy1")
    factories.RunFactory.create(policy=policy)
    before, said = changes.digests(), io.StringIO()

    with contextlib.redirect_stdout(said), contextlib.suppress(CommandError, SystemExit):
        call_command(name, *([option] if option else []), missing)

    assert changes.digests() == before
    assert "alice/policy1" not in said.getvalue()
