"""What the log says about a failure."""

import io
import logging

from django.conf import settings


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


def _fail(held: str) -> None:
    raise ValueError(len(held))


def _formatter(configured: dict[str, object]) -> logging.Formatter:
    made: logging.Formatter = configured["()"](  # type: ignore[operator]
        **{key: value for key, value in configured.items() if key != "()"}
    )
    return made
