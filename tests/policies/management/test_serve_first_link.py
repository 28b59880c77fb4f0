"""What `serve` says on a database without users."""

import re
import tempfile
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from n2wbackup.processes import supervisor
from scripts_admin.models import User
from scripts_admin.services import users

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: object) -> None:
    settings.N2W_SCRIPTS_ROOT = tmp_path
    # A server keeps its temporary files in memory; this process must not go on doing so.
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    monkeypatch.setattr(supervisor, "run", lambda before: before())


def said() -> str:
    out = StringIO()
    call_command("serve", stdout=out, skip_checks=True)
    return out.getvalue()


def test_the_console_has_a_link_that_works() -> None:
    text = said()

    link = re.search(r"http://127\.0\.0\.1:\d+(/first/[\w-]+/)", text)
    assert link is not None
    assert "with this link that works once" in text
    assert Client().get(link[1]).status_code == 200


def test_behind_tls_it_is_the_name_that_people_use(settings: Settings) -> None:
    settings.SESSION_COOKIE_SECURE = True
    settings.CSRF_TRUSTED_ORIGINS = ["https://*.example.org", "https://backup.example.org"]

    assert "https://backup.example.org/first/" in said()


def test_with_a_user_there_is_none() -> None:
    users.save(User(username="boss"))

    assert "/first/" not in said()
