"""A server that must not work with the others is refused with what to do; nothing is changed."""

from datetime import timedelta

import pytest
import time_machine
from cryptography.fernet import Fernet
from pytest_django import Settings

from n2wbackup.lib import clock, home
from policies.domain.errors import RefusedError
from policies.models import Server
from policies.services.servers import heart, joining
from tests.policies.services.elsewhere import Elsewhere

pytestmark = pytest.mark.usefixtures("db")


def refusal() -> str:
    before = list(Server.objects.values())
    with pytest.raises(RefusedError) as refused:
        joining.check()
    assert list(Server.objects.values()) == before
    return str(refused.value)


def test_servers_with_the_same_keys_may_work_together(elsewhere: Elsewhere) -> None:
    with elsewhere.here():
        heart.beat()

    joining.check()


def test_a_server_with_other_keys_is_refused(elsewhere: Elsewhere, settings: Settings) -> None:
    with elsewhere.here():
        heart.beat()
    settings.N2W_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    sentence = refusal()

    assert elsewhere.server in sentence
    assert "Set N2W_ENCRYPTION_KEYS to the same keys on both" in sentence
    assert settings.N2W_ENCRYPTION_KEYS[0] not in sentence


@pytest.mark.parametrize("reads_theirs", [True, False])
def test_each_must_read_what_the_other_writes(
    elsewhere: Elsewhere, settings: Settings, *, reads_theirs: bool
) -> None:
    old, new = settings.N2W_ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
    theirs, ours = ([old], [new, old]) if reads_theirs else ([new, old], [old])
    settings.N2W_ENCRYPTION_KEYS = theirs
    with elsewhere.here():
        heart.beat()
    settings.N2W_ENCRYPTION_KEYS = ours
    refusal()

    settings.N2W_ENCRYPTION_KEYS = [old, new]
    with elsewhere.here():
        heart.beat()
    settings.N2W_ENCRYPTION_KEYS = [new, old]
    joining.check()


def test_a_server_that_was_removed_does_not_matter(
    elsewhere: Elsewhere, settings: Settings
) -> None:
    with elsewhere.here():
        heart.beat()
    Server.objects.update(removed_at=clock.now())
    settings.N2W_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    joining.check()


def test_a_copy_of_a_home_is_refused_while_the_other_machine_lives(settings: Settings) -> None:
    heart.beat()
    joining.check()
    Server.objects.update(host="web1")

    sentence = refusal()

    assert f"The server id {home.server_id()} is in use on web1" in sentence
    later = clock.now() + timedelta(seconds=settings.N2W_SERVER_GONE_SECONDS + 1)
    with time_machine.travel(later):
        joining.check()  # the machine took the place of one that died
    Server.objects.update(stopped_at=clock.now())
    joining.check()
