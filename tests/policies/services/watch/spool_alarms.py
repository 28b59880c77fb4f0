"""What the tests of alarms without the database share."""

from typing import Any, NoReturn

import pytest
from django.db import connection

from n2wbackup.lib import home
from policies.services.watch.from_spool import SpoolAlarms
from scripts_admin.guard import linux

TOKEN = "t0psecret-token"


class Clock:
    """The seconds since boot, as the spool's alarms see them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        real = linux.boottime
        monkeypatch.setattr(linux, "boottime", lambda: real() + self.ahead)


def watch() -> SpoolAlarms:
    return SpoolAlarms(home.spool(), home.runtime())


def turns(alarms: SpoolAlarms, later: Clock, *seconds: float) -> None:
    """Do a turn now, and again after each of the pauses, with a database that refuses every query."""

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("the database was asked")

    with connection.execute_wrapper(refuse):
        alarms.turn()
        for each in seconds:
            later.ahead += each
            alarms.turn()
