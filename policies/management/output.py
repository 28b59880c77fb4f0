"""How the commands speak: JSON with --json, else a few plain lines; one sentence for what went wrong."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from policies.domain.errors import BackupError
from policies.services.reporting import Json


@contextmanager
def complaints() -> Iterator[None]:
    """Turn our own errors into the command's: one sentence on stderr, exit 1."""
    try:
        yield
    except BackupError as error:
        raise CommandError(str(error)) from None


def as_json(value: Json) -> str:
    """Return the value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def one_line(run: Json) -> str:
    """Return a run in one line."""
    return (
        f"{run['id']}  {run['started_at'] or '-':32}  {run['state']:10}  {run['consistency']:11}  "
        f"{run['policy']}"
    )


def report(run: Json) -> str:
    """Return a run as a person reads it: the verdict, the spans, what the scripts did, the timeline."""
    lines = [
        f"run          {run['id']} of {run['policy']} ({run['trigger']})",
        f"state        {run['state']}",
        f"consistency  {run['consistency']}",
    ]
    if run["reason"]:
        lines.append(f"reason       {run['reason']}")
    lines += [
        f"{name.removesuffix('_seconds'):12} {run[name] * 1000:.1f} ms"
        for name in ("hold_seconds", "freeze_seconds")
        if run[name] is not None
    ]
    for phase, result in run["phases"].items():
        argument = f" {result['argument']}" if result["argument"] else ""
        script = f"  ({result['script']}{argument})" if result["script"] else ""
        lines.append(f"{phase:12} {result['outcome']}{script}")
    lines += [f"snapshot     {s['id']} of {s['volume']}: {s['state']}" for s in run["snapshots"]]
    lines += ["timeline", *(f"  {e['at']}  {e['state']:10}  {e['text']}" for e in run["events"])]
    return "\n".join(lines)


def probe(report: Json) -> str:
    """Return an account's test as a person reads it."""
    lines = [
        f"account      {report['account']} ({report['auth']})",
        f"AWS sees     {report['arn'] or '-'}",
    ]
    if report["external_id"]:
        lines.append(f"external id  {report['external_id']}")
    for each in report["permissions"]:
        lines.append(f"{each['result']:12} {each['permission']} in {each['region']}")
        if each["result"] == "not tried":
            lines.append(f"             {each['sentence']}")
    return "\n".join(lines)
