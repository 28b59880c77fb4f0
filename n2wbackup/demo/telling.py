"""The demo's output."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from n2wbackup.demo import ledger
from n2wbackup.demo.backup import Backup
from n2wbackup.demo.ledger import PER_SECOND
from n2wbackup.demo.proving import Worth
from n2wbackup.demo.stage import ADMIN, COLLEAGUE, OPERATOR, Stage
from policies.api.as_json import Json
from policies.domain import proofs


def show(console: Console, backup: Backup, worth: Worth, gone: Sequence[Json]) -> None:
    """Print one backup: its timeline, its spans, the state of the ledger, and what it is worth."""
    run = backup.run
    console.print(f"\n[bold]Backup of {run['policy']}[/bold]  run {run['id']}\n", highlight=False)
    console.print(_timeline(run["events"]))
    findings = _findings(backup)
    for name, text in _worth(worth):
        findings.add_row(name, escape(text))
    for each in gone:
        findings.add_row("went", escape(_went(each)))
    console.print(findings)


def _timeline(events: list[dict[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("seconds", justify="right")
    table.add_column("state")
    table.add_column("what happened", overflow="fold")
    moments = [datetime.fromisoformat(event["at"]) for event in events]
    for event, at in zip(events, moments, strict=True):
        passed = f"{(at - moments[0]).total_seconds():.3f}"
        table.add_row(passed, event["state"], event["text"])
    return table


def _findings(backup: Backup) -> Table:
    run, copy = backup.run, backup.copy
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("")
    table.add_row("state", f"{run['state']} {run['reason']}".strip())
    table.add_row("consistency", run["consistency"])
    table.add_row("hold", _hold(backup))
    table.add_row(
        "writes in the hold",
        f"{_count(backup.writes_in_hold)}  ({_count(backup.writes_in_second_before)} in the second "
        f"before it froze, {_count(backup.writes_in_second_after)} in the second after it thawed)",
    )
    whole = f"opens and balances, up to transaction {copy.last}"
    table.add_row("copy in the snapshot", whole if copy.balances else " ".join(copy.problems))
    for phase in ("before", "after", "complete"):
        table.add_row(f"{phase} said", _said(run["phases"][phase]))
    return table


def _hold(backup: Backup) -> str:
    if backup.hold_milliseconds is None:
        return "unknown"
    aws = "" if backup.aws_seconds is None else f"{backup.aws_seconds * 1000:.1f} ms"
    return f"{backup.hold_milliseconds} ms" + (
        f"  ({aws} of it in the simulated AWS)" if aws else ""
    )


def _count(number: int | None) -> str:
    return "unknown" if number is None else str(number)


def _said(phase: dict[str, str]) -> str:
    return (phase["stdout"] + phase["stderr"]).strip() or phase["outcome"]


def one_line(backup: Backup) -> str:
    """Return a backup as one line, with the local time."""
    now = datetime.now().astimezone().strftime("%H:%M:%S")
    copy = "the copy balances" if backup.copy.balances else "the copy is NOT good"
    return (
        f"{now}  backup {backup.run['state']}, {backup.run['consistency']}-consistent: "
        f"hold {backup.hold_milliseconds} ms, {_count(backup.writes_in_hold)} writes in it, {copy}"
    )


def _worth(worth: Worth) -> Iterator[tuple[str, str]]:
    if worth.proof is not None:
        yield "proof", _proof(worth.proof)
        if worth.proof["output"]:
            yield "verify said", worth.proof["output"]
    if worth.restored is not None:
        books = worth.restored
        found = f"balances, up to transaction {books.last}"
        what = f"{ledger.FILE}, {worth.restored_bytes:,} bytes, out of the snapshot"
        yield "restored", f"{what}: {found if books.balances else ' '.join(books.problems)}"
    if worth.lacks:
        yield "not done", worth.lacks


def _proof(proof: Json) -> str:
    words = proofs.in_words(proof["level"], proof["seconds"], proof["cost_usd"])
    state = proof["state"].replace("_", " ")
    blocks = f"{proof['blocks_read']} of {proof['blocks_of_snapshot']} blocks read"
    return f"{state}: {words}, {blocks}. {proof['reason']}".strip()


def worth_lines(worth: Worth) -> str:
    """Return what a backup is worth, a line for each finding."""
    return "\n".join(f"          {name}: {text}" for name, text in _worth(worth))


def _went(gone: Json) -> str:
    made = datetime.fromisoformat(gone["made_at"])
    what = f"the restore point of {made:%Y-%m-%d %H:%M} UTC, with {', '.join(gone['snapshots'])}"
    return f"{what}: {gone['why']}"


def gone_line(gone: Json) -> str:
    """Return a restore point that went as one line."""
    return f"went: {_went(gone)}"


def as_json(backup: Backup, worth: Worth, gone: Sequence[Json]) -> str:
    found = {**backup.as_json(), **worth.as_json(), "went": list(gone)}
    found["good"] = backup.is_good and worth.is_good
    return json.dumps(found, indent=2, ensure_ascii=False)


def welcome(console: Console, stage: Stage, url: str, minutes: float) -> None:
    """Print where to look, the passwords, and how to stop."""
    names = {
        OPERATOR: "owns policies",
        COLLEAGUE: "owns others",
        ADMIN: f"sees all, and {url}admin/",
    }
    lines = [
        "",
        f"[bold]The n2wbackup demo runs.[/bold] It writes {PER_SECOND} times a second to a ledger in SQLite, and",
        f"backs it up now and then every {minutes:g} minutes. Seven other policies have a year behind them, which was",
        "made up; some fail, one says that it may be frozen. Scripts of others run on their instances. AWS is",
        "simulated on this machine.",
        "",
        f"  Open     {url}",
        *(f"  Log in   {name:6} {stage.passwords[name]}   {what}" for name, what in names.items()),
        f"  Look at  the scripts in {stage.scripts}",
        "  Stop     Ctrl-C: everything ends, and all files are removed",
        "",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
