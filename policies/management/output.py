"""What the commands print: JSON with --json, else a few plain lines; an error is one sentence."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper

from n2wbackup.lib import terminal
from policies.api.as_json import Json
from policies.domain import proofs
from policies.domain.errors import BackupError
from policies.domain.runs import left_behind
from scripts_admin import linux_accounts
from scripts_admin.apps import SCRIPTS, TRUSTED
from scripts_admin.domain import ssh
from scripts_admin.domain.audit import Source
from scripts_admin.domain.remote import Remote
from scripts_admin.services import audit
from scripts_admin.services.audit import Edge

LAST_LINES = 20  # of each output of a script, in texts for people
_USAGE = 2  # the exit code for arguments that a command does not take
_Style = Callable[[str], str]


class _Harmless(OutputWrapper):
    """Prints what any terminal shows as it is written, in the letters that it has."""

    def write(  # type: ignore[override] # Django's own has more arguments than a file's
        self, msg: str = "", style_func: _Style | None = None, ending: str | None = None
    ) -> None:
        """Print the text with whatever a terminal would act on written out."""
        text = terminal.block(str(msg))
        encoding = getattr(self, "encoding", None) or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        super().write(text, style_func, ending)


class Command(BaseCommand):
    """A command of the product: what it prints is harmless for a terminal, and its arguments are text.

    `paths` names the arguments that may be any bytes.
    """

    paths: tuple[str, ...] = ()
    # Django's own checks are of our code, and would load every page: `manage.py check` makes them, and so does CI.
    requires_system_checks = [SCRIPTS, TRUSTED]

    def __setattr__(self, name: str, value: object) -> None:
        """Wrap whatever Django sets as the command's output."""
        if name in {"stdout", "stderr"} and isinstance(value, OutputWrapper):
            value = _Harmless(cast("TextIO", value._out))  # noqa: SLF001 - it has no other name
        super().__setattr__(name, value)

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:  # noqa: ANN401
        """Let a complaint about an argument be one sentence, too, which quotes it harmlessly."""
        parser = super().create_parser(prog_name, subcommand, **options)
        complain = parser.error

        def refuse(message: str) -> NoReturn:
            told = terminal.line(message)
            if parser.called_from_command_line:
                how = f"`{parser.prog} --help` lists what it takes."
                parser.exit(_USAGE, f"{parser.prog}: {told}. {how}\n")
            complain(told)
            raise AssertionError  # `complain` ends the program or raises

        parser.error = refuse  # type: ignore[method-assign]
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:  # noqa: ANN401 - as Django's own
        """Refuse an argument that is not UTF-8 with a sentence: no name in the database can be that."""
        for name, value in options.items():
            if isinstance(value, str) and name not in self.paths and not _is_text(value):
                raise CommandError(
                    f"The argument {terminal.line(value)} is not UTF-8 text: write it again, in UTF-8."
                )
        edge = Edge(Source.COMMAND, name=linux_accounts.who_types())
        with audit.coming_from(edge):
            return super().execute(*args, **options)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def complaints() -> Iterator[None]:
    """Turn the product's errors into the command's: one sentence on stderr, exit 1."""
    try:
        yield
    except BackupError as error:
        raise CommandError(str(error)) from None


def as_json(value: Json) -> str:
    return json.dumps(terminal.harmless(value), indent=2, ensure_ascii=False)


def one_line(run: Json) -> str:
    return (
        f"{run['id']}  {run['started_at'] or '-':32}  {run['state']:10}  {run['consistency']:11}  "
        f"{run['policy']}"
    )


def report(run: Json, *, timeline: bool = True) -> str:
    """Return a run as text for people: result, durations, scripts and the end of their outputs, snapshots, timeline."""
    lines = [
        f"run          {run['id']} of {run['policy']} ({run['trigger']})",
        f"state        {run['state']}",
        f"consistency  {run['consistency']}",
    ]
    if run["reason"]:
        lines.append(f"reason       {run['reason']}")
    if run["attempt"] > 1:
        lines.append(f"attempt      {run['attempt']}")
    if run["scheduled_for"]:
        several = f", {run['due_count']} times until {run['due_until']}"
        more = several if run["due_count"] > 1 else ""
        lines.append(f"due          {run['scheduled_for']}{more}")
    if run["late_seconds"] is not None:
        lines.append(f"late         {run['late_seconds']:.1f} s, from due to the start of before")
    if run["retry_at"]:
        lines.append(f"retry at     {run['retry_at']}")
    lines += [
        f"{name.removesuffix('_seconds'):12} {run[name] * 1000:.1f} ms"
        for name in ("hold_seconds", "freeze_seconds")
        if run[name] is not None
    ]
    for phase, result in run["phases"].items():
        lines += _phase(phase, result)
    for target in run["targets"]:
        lines += _on_instance(target)
    lines += [f"left behind  {left_behind.in_words(each)}" for each in run["left_behind"] or ()]
    lines += [f"snapshot     {s['id']} of {s['volume']}: {s['state']}" for s in run["snapshots"]]
    if run["retention"]:
        lines.append(f"retention    {kept(run['retention'])}")
    if timeline:
        lines += ["timeline", *(event(each) for each in run["events"])]
    return "\n".join(lines)


def kept(found: Json) -> str:
    """Return in words what becomes of a restore point."""
    why = "; ".join(found["reasons"])
    if found.get("deleted_at"):
        until = found["bin_until"]
        bin_words = f", in the Recycle Bin until {until[:16]}" if until else ""
        return f"deleted at {found['deleted_at'][:16]}{bin_words}: {why}"
    if not found["keep"]:
        after = f" after {found['goes_after'][:16]}" if found.get("goes_after") else ""
        return f"goes{after}: {why}"
    until = f" until about {found['until'][:10]}" if found["until"] else ""
    return f"kept{until}: {why}"


def plan(found: Json) -> str:
    """Return what becomes of the restore points of a policy, with a line for each."""
    points = found["restore_points"]
    gone = sum(not each["keep"] for each in points)
    head = f"{found['policy']}: of {len(points)} restore points the rules let {gone} go."
    lines = [f"  {each['at'][:16]}  {each['run']}  {kept(each)}" for each in points]
    return "\n".join([head, *lines])


def event(found: Json) -> str:
    """Return one line of a timeline."""
    return f"  {found['at']}  {found['state']:10}  {found['text']}"


def _phase(name: str, result: Json) -> list[str]:
    """Return a script's outcome and exit code, and the end of what it printed, each line marked as such."""
    argument = f" {result['argument']}" if result["argument"] else ""
    script = f"  ({result['script']}{argument})" if result["script"] else ""
    lines = [f"{name:12} {result['outcome']}{_exit(result['exit_code'])}{script}"]
    for stream in ("stdout", "stderr"):
        lines += [f"    {stream} | {line}" for line in _last_lines(result[stream])]
    return lines


def _on_instance(target: Json) -> list[str]:
    """Return the scripts of an instance, and who thawed it; nothing if none was to run there."""
    if not target["remote"]:
        return []
    name = target["instance"]
    by = f", thawed by {target['thaw_by']}" if target["thaw_by"] else ""
    lines = [f"on {name}, by {target['remote']['by']}{by}"]
    for phase, result in target["phases"].items():
        lines += [f"  {line}" for line in _phase(phase, result)]
    return lines


def _exit(code: int | None) -> str:
    if code is None:
        return ""
    if code < 0:
        return f", signal {-code}"
    return f", exit code {code}"


def _last_lines(text: str) -> list[str]:
    # Only at newlines: a script may print form feeds and other characters that count as line ends.
    lines = text.rstrip("\n").split("\n") if text.strip("\n") else []
    left_out = len(lines) - LAST_LINES
    if left_out <= 0:
        return lines
    said = f"({left_out} earlier lines: show_run --json has all)"
    return [said, *lines[-LAST_LINES:]]


def policy(report: Json) -> str:
    """Return a policy as text for people."""
    lines = [
        f"policy       {report['policy']}",
        f"enabled      {'yes' if report['enabled'] else 'no'}",
        f"account      {report['account']}",
    ]
    paused = report["paused"]
    if paused:
        lines.append(f"PAUSED       until {paused['until']} by {paused['by']}: {paused['reason']}")
    lines += [
        f"target       {t['instance'] or t['volume']} in {t['region']}{_remote(t['remote'])}"
        for t in report["targets"]
    ]
    lines += [f"missing      {each}" for each in report.get("missing", ())]
    for each in report["schedules"]:
        held = f"; disabled {', '.join(each['disabled'])}" if each["disabled"] else ""
        lines.append(f"schedule     {each['name']}: {each['when']}, {each['timezone']}{held}")
    retries = report["retries"]
    if retries["count"]:
        lines.append(f"retries      {retries['count']}, {retries['minutes']} minutes apart")
    lines += [f"next         {at}" for at in report["next_run_times"]]
    if report["next_run_note"]:
        lines.append(f"next         none. {report['next_run_note']}")
    last = report["last_run"]
    if last:
        lines.append(f"last run     {last['id']}  {last['state']}  {last['ended_at']}")
    lines.append(f"last success {report['last_success_at'] or '-'}")
    if report["may_be_frozen_since"]:
        lines.append(f"FROZEN       may be frozen since {report['may_be_frozen_since']}")
    return "\n".join(lines)


def _remote(found: Json | None) -> str:
    return f", scripts {Remote.of_document(found)}" if found else ""


def policy_line(report: Json) -> str:
    """Return one line of a list of policies."""
    last = report["last_run"]
    ahead = [report["next_run_times"][0] if report["next_run_times"] else report["next_run_note"]]
    if report["may_be_frozen_since"]:
        ahead.append(f"MAY BE FROZEN since {report['may_be_frozen_since']}")
    state = "enabled" if report["enabled"] else "disabled"
    if report["enabled"] and report["paused"]:
        state = "paused"
    return (
        f"{report['policy']:32}  {state:8}  last {last['state'] if last else '-':10}  "
        f"next {'  '.join(ahead)}"
    )


def probe(report: Json) -> str:
    """Return an account's test as text for people."""
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


def trial(report: Json) -> str:
    """Return a drill as text for people: a line for each instance."""
    lines = [f"drill        {report['id']} of {report['policy']}"]
    lines += [f"{e['state'].replace('_', ' '):12} {e['reason']}" for e in report["instances"]]
    return "\n".join(lines)


def _source(source: str | None) -> str:
    return f", a {source}" if source else ""


def proof(report: Json) -> str:
    """Return a proof as text for people."""
    read = "-"
    if report["blocks_read"] is not None:
        read = f"{report['blocks_read']} of {report['blocks_of_snapshot'] or '?'} blocks"
    lines = [
        f"proof        {report['id']} of run {report['run']} ({report['policy']})",
        f"state        {report['state'].replace('_', ' ')}",
        f"level        {report['level']}, reached {report['reached'] if report['reached'] >= 0 else 'none'}",
        f"snapshot     {report['snapshot']} in {report['region']}{_source(report['source'])}",
        f"read         {read}",
    ]
    if report["cost_usd"] is not None:
        lines.append(f"cost         {proofs.dollars(report['cost_usd'])}, as an estimate")
    if report["seconds"] is not None:
        lines.append(f"seconds      {report['seconds']:.1f}")
    lines += [f"{name:12} {report[name]}" for name in ("server", "mark") if report[name]]
    if report["redo"]:
        lines.append(f"redo         {report['redo']['bytes']} bytes: {report['redo']['text']}")
    if report["reason"]:
        lines.append(f"reason       {report['reason']}")
    lines += [f"    output | {line}" for line in _last_lines(report["output"])]
    return "\n".join(["\n".join(lines), "timeline", *(event(each) for each in report["events"])])


def server(report: Json) -> str:
    """Return a server as text for people: one line, and one for each problem."""
    here = " (here)" if report["is_here"] else ""
    line = (
        f"{report['id']}  {report['state']:7}  {report['heartbeat_at']}  {report['version']:12}  "
        f"{report['unfinished']:3} runs  {report['host']}{here}"
    )
    return "\n".join([line, *(f"  {problem}" for problem in report["problems"])])


def ssh_host(host: Json) -> str:
    """Return a host of scripts as text for people."""
    name = host["host"] if host["port"] == ssh.DEFAULT_PORT else f"{host['host']}:{host['port']}"
    key = host["fingerprint"] or host["seen"] or "-"
    more = [host["problem"]] if host["problem"] else []
    return "\n".join([f"{name:32}  {host['state']:9}  {key}", *(f"  {line}" for line in more)])
