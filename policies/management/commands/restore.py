"""Restore a volume or an instance from a run."""

from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.api import recoveries_as_json
from policies.domain.recovery.states import Kind
from policies.management import output, recovering
from policies.selectors import copies, labels
from policies.services.browsing import fetching
from policies.services.recovery import asking, choosing, planning, rehearsing
from policies.services.recovery.planning import KEEP_DAYS, Choices

_TEXTS = {
    "--zone": "the availability zone of the new volume or instance",
    "--subnet": "the subnet of the new instance",
    "--instance-type": "the type of the new instance",
    "--name": "the Name tag of the new instance",
    "--volume-type": "the type of the new volume",
    "--kms-key": "the KMS key that encrypts the new volume",
    "--account": "another account of the same owner",
}
_NUMBERS = {
    "--iops": "of the new volume",
    "--throughput": "MiB/s, of a new gp3 volume",
    "--rate": "MiB/s at which AWS loads the new volume, 100 to 300, which costs money",
}
_OF_VOLUMES = ("volume", "volume_type", "iops", "throughput", "kms_key", "rate", "account", "from")
# What each way takes beside --confirm, --dry-run and --json. What somebody asks for is never left out in silence.
_TAKES = {
    Kind.VOLUME: ("--volume", (*_OF_VOLUMES, "attach", "zone")),
    Kind.VOLUME_IN_PLACE: (
        "--in-place",
        (*_OF_VOLUMES, "in_place", "stop", "unmounted", "keep_days"),
    ),
    Kind.INSTANCE: (
        "--instance",
        ("instance", "zone", "subnet", "instance_type", "name", "account", "from"),
    ),
    Kind.FILES: ("--file", ("volume", "file", "to", "from")),
}
_OPTIONS = frozenset(name for _, names in _TAKES.values() for name in names)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 8):  # noqa: PLR2004 - more than AWS has
        raise ArgumentTypeError(f"{text[:20]!r} is not a whole number")
    return int(text)


class Command(output.Command):
    help = "Restore from a run: a volume, in its place, a whole instance. --dry-run only asks AWS."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="the run's id")
        parser.add_argument("--volume", metavar="VOL", default="", help="a volume of the run")
        parser.add_argument(
            "--attach", metavar="INSTANCE:DEVICE", default="", help="attach the new volume there"
        )
        parser.add_argument(
            "--in-place", action="store_true", help="put it in the place of the volume of today"
        )
        parser.add_argument(
            "--instance",
            nargs="?",
            const="",
            default=None,
            metavar="ID",
            help="start the whole instance anew; with several in the run, name one",
        )
        parser.add_argument("--file", metavar="PATH", default="", help="a file or folder in it")
        parser.add_argument("--to", metavar="FOLDER", default="", help="where it is copied to")
        for name, words in _TEXTS.items():
            parser.add_argument(name, default="", help=words)
        parser.add_argument(
            "--from",
            default="",
            metavar="PLACE",
            help="the place of a copy, such as eu-west-1 or vault/eu-west-1, or a copy's id",
        )
        for name, words in _NUMBERS.items():
            parser.add_argument(name, type=_number, default=0, help=words)
        parser.add_argument(
            "--stop", action="store_true", help="stop a running instance, and start it again"
        )
        parser.add_argument(
            "--unmounted", action="store_true", help="the volume is not in use there: do not stop"
        )
        parser.add_argument(
            "--keep-days",
            type=_number,
            default=KEEP_DAYS,
            help=f"how long the old volume is tagged to be kept (default: {KEEP_DAYS})",
        )
        parser.add_argument(
            "--confirm", metavar="ID", default="", help="the instance that is changed: you mean it"
        )
        parser.add_argument("--dry-run", action="store_true", help="ask AWS, and change nothing")
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def handle(self, **options: Any) -> None:
        if options["file"]:
            _refuse_what_does_not_go(Kind.FILES, options)
            with output.complaints():
                self.stdout.write(_fetched(options))
            return
        choices = _choices(options)
        with output.complaints():
            run = labels.run(options["run"])
            if options["dry_run"]:
                plan = planning.plan(run, choices)
                answers = rehearsing.rehearse(plan)
                report = recoveries_as_json.rehearsal(plan, answers)
                text = output.as_json(report) if options["json"] else recovering.rehearsed(report)
                self.stdout.write(text)
                if any(each.is_refused for each in answers):
                    raise CommandError("AWS would refuse this. Nothing was done.")
                return
            made = asking.ask(run, choices, by=asking.COMMAND_LINE, confirmation=options["confirm"])
        if options["json"]:
            self.stdout.write(output.as_json(recoveries_as_json.recovery(made)))
        else:
            self.stdout.write(f"Recovery {made.pk} is queued: show_recovery {made.pk} follows it.")


def _fetched(options: dict[str, Any]) -> str:
    """Copy a file or a folder of a snapshot into a folder of this machine; CommandError without a folder."""
    if not options["to"]:
        raise CommandError(
            "--file PATH needs --to FOLDER: a folder of yours, into which it is copied."
        )
    run = labels.run(options["run"])
    (found,) = choosing.volume(run, options["volume"], options["from"]).pieces
    if options["dry_run"]:
        said = {"snapshot": found.snapshot_id, "path": options["file"], "to": options["to"]}
        words = "Copy {path} out of {snapshot} into {to}. Nothing was done."
        return output.as_json(said) if options["json"] else words.format(**said)
    copied = fetching.fetch(
        found.made,
        options["file"],
        Path(options["to"]),
        by=asking.COMMAND_LINE,
        copy=copies.named(found.copy),
    )
    if options["json"]:
        return output.as_json({"files": copied.files, "bytes": copied.bytes, "to": options["to"]})
    many = "1 file" if copied.files == 1 else f"{copied.files} files"
    return f"{many}, {copied.bytes} bytes are in {options['to']}."


def _refuse_what_does_not_go(kind: Kind, options: dict[str, Any]) -> None:
    """Raise CommandError if there is an option of another way to restore."""
    way, takes = _TAKES[kind]
    for name in sorted(_OPTIONS - set(takes)):
        is_default = options[name] in ("", 0, None, False)
        if is_default or (name == "keep_days" and options[name] == KEEP_DAYS):
            continue
        message = f"--{name.replace('_', '-')} does not go with {way}: leave one of them out."
        raise CommandError(message)


def _choices(options: dict[str, Any]) -> Choices:
    """Return what the arguments say; CommandError if they say no kind, or two."""
    kinds = {
        Kind.INSTANCE: options["instance"] is not None,
        Kind.VOLUME_IN_PLACE: options["in_place"],
        Kind.VOLUME: bool(options["volume"]) and not options["in_place"],
    }
    wanted = [kind for kind, said in kinds.items() if said]
    if len(wanted) != 1:
        message = (
            "Say what is restored: --volume VOL, --in-place (with --volume VOL if there are several), "
            "--instance, or --file PATH --to FOLDER."
        )
        raise CommandError(message)
    _refuse_what_does_not_go(wanted[0], options)
    attach_to, colon, device = options["attach"].partition(":")
    if options["attach"] and (not colon or wanted[0] != Kind.VOLUME):
        raise CommandError("--attach INSTANCE:DEVICE goes with --volume, such as i-0123:/dev/sdf.")
    return Choices(
        kind=wanted[0],
        volume_id=options["volume"],
        instance_id=options["instance"] or "",
        attach_to=attach_to,
        device=device,
        zone=options["zone"],
        subnet_id=options["subnet"],
        instance_type=options["instance_type"],
        name=options["name"],
        volume_type=options["volume_type"],
        iops=options["iops"],
        throughput=options["throughput"],
        kms_key_id=options["kms_key"],
        rate=options["rate"],
        stops=options["stop"],
        unmounted=options["unmounted"],
        keep_days=options["keep_days"],
        account=options["account"],
        source=options["from"],
    )
