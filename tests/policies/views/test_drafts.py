"""Every form into which people type says whose it is, so that what they typed outlives their session."""

from html.parser import HTMLParser

import pytest
from django.test import Client

from policies.models import Policy
from scripts_admin.models import User
from tests.policies.views import matrix

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
GOOD = "correct horse battery"
_TYPED = {"text", "email", "number", "datetime-local", "date", "time", "textarea"}
# The forms of script folders have their own tests.
# What is typed here is a secret, or the name of what is to be deleted, or asks for nothing that is kept.
_NOT_KEPT = {
    "login/": "a password",
    "login/code/": "a code",
    "profile/confirm/": "a password",
    "profile/confirm/code/": "a code",
    "profile/password/": "passwords",
    "profile/factors/app/": "a code",
    "profile/factors/passkeys/add/": "a name for a key that must be touched again",
    "profile/": "a name and an address, which whoever logs in again knows",
    "policies/<str:owner>/<str:name>/sharing/": "one name",
    "recoveries/<uuid:recovery_id>/undo/": "the name of what is undone",
    "coverage/": "ticks and a word about rows that may have changed since",
}
# Here a name is typed to confirm that something is deleted.
_CONFIRM = {
    "alarms/receivers/<str:owner>/",
    "alarms/receivers/<str:owner>/<str:name>/",
    *(f"{part}/<str:owner>/<str:name>/delete/" for part in ("accounts", "policies", "schedules")),
}


class Forms(HTMLParser):
    """The names that are typed into each form that is sent by POST."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[set[str], bool]] = []
        self._open = self._kept = False
        self._names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        kind, name = found.get("type") or "text", found.get("name") or ""
        if tag == "form":
            self._open = found.get("method") == "post"
            self._names, self._kept = set(), False
        elif self._open and (tag == "textarea" or (tag == "input" and kind in _TYPED)):
            self._names.add(name)
        elif name == "form_of":
            self._kept = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._open:
            self.found.append((self._names, self._kept))
            self._open = False


def test_no_form_loses_what_was_typed() -> None:
    world = matrix.made()
    lost: dict[str, set[str]] = {}
    for route in matrix.routes():
        if route.startswith(("admin/", "scripts/")) or route in _NOT_KEPT:
            continue
        address = matrix.path(world, route)
        answer = world.clients["boss"].get(address)
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            for names, is_kept in Forms(answer.content.decode()).found:
                typed = names if names != {"name"} or route not in _CONFIRM else set()
                if typed and not is_kept:
                    lost[route] = typed
        world.clients["boss"].force_login(world.people["boss"])
    assert lost == {}


def test_a_session_that_ends_loses_no_reason_and_keeps_no_url(
    policy: Policy, alice: User, client: Client
) -> None:
    alice.set_password(GOOD)
    alice.save()
    client.force_login(alice)
    typed = {
        "/alarms/mute/alice/policy1/": {"reason": "the disks move", "hours": "4"},
        "/alarms/receivers/alice/": {"quiet_times": "sat 00:00-24:00", "new_urls": "json://geheim"},
        "/coverage/rules/": {"tag": "backup", "value": "shop"},
    }
    for path, form in typed.items():
        form_of = client.get(path).content.decode().partition('name="form_of" value="')[2]
        client.logout()
        answer = client.post(path, {**form, "form_of": form_of.partition('"')[0]})
        back = client.post(answer["Location"], {"username": "alice", "password": GOOD})
        shown = client.get(back["Location"]).content.decode()
        assert "Secrets were not kept." in shown, (path, back["Location"])
        assert "geheim" not in shown
        for name, text in form.items():
            assert (text in shown) is ("url" not in name), (path, name)


def test_nothing_waits_for_a_person_who_never_had_the_form(client: Client) -> None:
    answer = client.post("/policies/new/", {"name": "shop", "form_of": "forged"})

    assert answer.headers["Location"] == "/login/?next=/policies/new/"
    assert not client.session.get("drafts")
