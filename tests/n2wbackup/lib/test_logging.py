"""What the log says about a failure."""

import io
import json
import logging
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest
import structlog
from django.conf import settings

from n2wbackup.settings import logging as logs

HOSTILE = "\x1b[2J\x7f\x9b\u202e\udcff"
WRITTEN = r"\x1b[2J\x7f\x9b\u202e\xff"


def test_a_traceback_never_shows_what_its_frames_held() -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    formatter = settings.LOGGING["formatters"]
    name = next(iter(formatter))
    handler.setFormatter(_formatter(formatter[name]))
    log = logging.Logger("frames")  # noqa: LOG001 - a separate logger, so that no other handler gets the record
    log.addHandler(handler)
    tenants_secret = "wJalr" + "XUtnFEMI"

    try:
        _fail(tenants_secret)
    except ValueError:
        log.exception("it failed")

    assert "it failed" in written.getvalue()
    assert "ValueError" in written.getvalue()
    assert tenants_secret not in written.getvalue()


def test_what_others_wrote_stays_on_its_line_and_acts_on_no_terminal() -> None:
    event = {"event": "AWS says\n\x1b[2Jroot logged in", "user": "bob\u202e", "count": 1}

    shown = logs.make_values_harmless(None, "info", event)
    line = structlog.dev.ConsoleRenderer(colors=False)(None, "info", shown)

    assert r"AWS says\x0a\x1b[2Jroot logged in" in line
    assert r"bob\u202e" in line
    assert logs.make_harmless(None, "info", "a trace\n\x1b[2J\x7f") == "a trace\n" + r"\x1b[2J\x7f"


def test_a_line_of_the_log_stays_json_whatever_is_in_it() -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(_formatter(settings.LOGGING["formatters"]["lines"]))
    log = logging.Logger("bytes")  # noqa: LOG001 - a separate logger, so that no other handler gets the record
    log.addHandler(handler)

    try:
        _fail_with(HOSTILE)
    except ValueError:
        log.exception("it failed: %s", HOSTILE, extra={"more": {"deep": HOSTILE}, "other": HOSTILE})

    (line,) = written.getvalue().splitlines()
    found = json.loads(line)
    assert found["event"] == f"it failed: {WRITTEN}"
    assert found["other"] == found["more"]["deep"] == WRITTEN
    assert all(" " <= each <= "~" for each in line)
    assert "\\u001b" not in line


@pytest.mark.parametrize(
    "writing",
    [
        str,
        lambda secret: quote(secret, safe=""),
        lambda secret: b64encode(secret.encode()).decode(),
    ],
)
def test_the_servers_own_secrets_are_masked_in_every_writing(
    monkeypatch: pytest.MonkeyPatch, writing: Callable[[str], str]
) -> None:
    monkeypatch.setattr(logs, "_secrets", ["s3cr3t/of+the=server"])

    line = logs.hide_known_secrets(None, "info", f"to {writing('s3cr3t/of+the=server')}!")

    assert line == "to [masked]!"


def test_what_a_provider_brings_back_is_masked_and_the_rest_of_the_line_stays() -> None:
    said = "{'request': 'GET /login/openid/back/?state=s-1&code=c-1', 'code': 302}"
    line = logs.hide_known_secrets(None, "info", said)
    assert line == "{'request': 'GET /login/openid/back/?[masked]', 'code': 302}"


def _fail_with(text: str) -> None:
    raise ValueError(text)


def _fail(held: str) -> None:
    raise ValueError(len(held))


def _formatter(configured: dict[str, object]) -> logging.Formatter:
    made: logging.Formatter = configured["()"](  # type: ignore[operator]
        **{key: value for key, value in configured.items() if key != "()"}
    )
    return made
