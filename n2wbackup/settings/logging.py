"""Logs: one JSON object per line, or readable text with DEBUG. Secrets are masked.

Logs go to standard error, because standard output is for the answer of a command (`--json`). `serve`
keeps both.
"""

import os
import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

from n2wbackup.lib import redaction, terminal, unasked
from n2wbackup.settings.env import DEBUG, N2W_ENCRYPTION_KEYS, SECRET_KEY, read

with unasked.left_out("rich"):  # for colours, which no log of ours has
    import structlog

__all__ = ["LOGGING", "LOGGING_CONFIG"]

_TELLING = (
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "cookie",
    "private_key",
    "encryption_key",
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY")
_OF_AMAZON = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
)
# Whoever has the rest of such an address may choose a password.
_LINK = re.compile(r"(/(?:first|invited)/)[A-Za-z0-9._-]+")
# What an OpenID provider's answer brings back: whoever has it may be quicker than its browser.
_ANSWER = re.compile(r"(/login/openid/back/\?)[^\s'\"]+")
_OF_SEVERAL_LINES = ("exception", "stack")


def _known_secrets() -> list[str]:
    urls = [read(name) for name in ("DATABASE_URL", "REDIS_URL")]
    urls += [os.environ.get(name, "") for proxy in _PROXIES for name in (proxy, proxy.lower())]
    passwords = [urlsplit(url).password or "" for url in urls]
    amazon = [os.environ.get(name, "") for name in _OF_AMAZON]
    return [SECRET_KEY, *N2W_ENCRYPTION_KEYS, *passwords, *map(unquote, passwords), *amazon]


_secrets = _known_secrets()


def hide_telling_names(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Mask the value of every field with a name that says it is a secret."""
    for name in event:
        if any(word in name.lower() for word in _TELLING):
            event[name] = redaction.MARK
    return event


def hide_known_secrets(_logger: object, _method: str, line: str) -> str:
    """Mask the server's own secrets everywhere in the finished line, and what lets its holder in."""
    line = _LINK.sub(rf"\1{redaction.MARK}", redaction.mask(line, _secrets))
    return _ANSWER.sub(rf"\1{redaction.MARK}", line)


def make_values_harmless(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Keep each value on its line: what others wrote can neither begin a new line nor act on a terminal."""
    for name, value in event.items():
        if isinstance(value, dict | list):
            event[name] = terminal.harmless(value)
        elif isinstance(value, str) and name not in _OF_SEVERAL_LINES:
            event[name] = terminal.line(value)
    return event


def make_harmless(_logger: object, _method: str, line: str) -> str:
    """Do the same for the finished text, with the lines of its tracebacks."""
    return terminal.block(line)


_common: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.ExtraAdder(),
    hide_telling_names,
]
_rendering: list[Any] = (
    [make_values_harmless, structlog.dev.ConsoleRenderer(colors=False), make_harmless]
    if DEBUG
    else [
        # Never the local variables of frames: they may contain an account's keys.
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ),
        make_values_harmless,  # JSON escapes the rest: a finished line must not be changed any more
        structlog.processors.JSONRenderer(default=repr),
    ]
)

# Django itself configures Python's logging from LOGGING; structlog writes through the same handler.
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "lines": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": _common,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering,
                hide_known_secrets,
            ],
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # They log a line for each message, one a second for the tick alone: keep only warnings and
        # errors.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        # The request middleware logs the same, with the user.
        "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
        # It warns of each request that waits for a thread.
        "waitress.queue": {"level": "ERROR"},
        "botocore": {"level": "WARNING"},
        "paramiko": {"level": "WARNING"},
    },
}

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_common,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
