"""Rules about the course of a script: what delays the thaw, what skips it, and which exit code the server gets."""

import re
from collections.abc import Iterator

from scripts_admin.domain.lint import freezing
from scripts_admin.domain.lint.calls import Call
from scripts_admin.domain.lint.commands import Command
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.phases import Phase

_SLEEP = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)")
_TESTS = frozenset(["[", "[[", "case", "test"])
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
# Commands that fail only where something is badly wrong, or whose failure means nothing.
_HARMLESS = frozenset(
    (
        "set",
        "echo",
        "printf",
        "exit",
        "return",
        "trap",
        "true",
        ":",
        "export",
        "local",
        "readonly",
        "declare",
        "umask",
        "shift",
        "test",
        "[",
        "[[",
        "if",
        "case",
        "for",
        "exec",
        "wait",
        "date",
        "false",
        "unset",
        "shopt",
        "dirname",
        "pwd",
        "logger",
        "break",
        "continue",
        "let",
    )
)
_REMOTE_OR_DATABASE = frozenset(
    (
        *freezing.MYSQL,
        *freezing.MONGO,
        *freezing.REDIS,
        "psql",
        "ssh",
        "fsfreeze",
        "xfs_freeze",
        "systemctl",
        "sqlplus",
    )
)
_TRUNCATES = re.compile(
    r"purge\s+(?:binary|master)\s+logs|reset\s+master|pg_archivecleanup|truncate_log|delete\s+archivelog"
)


def _top(call: Call) -> bool:
    """Tell whether the call is a step of the script itself: not elsewhere, not in a substitution or function."""
    return not call.there and not call.command.substitutions


def sleeps(script: Script) -> Iterator[Remark]:
    if script.phase not in (Phase.BEFORE, Phase.AFTER):
        return
    for call in script.calls:
        if call.name != "sleep" or call.command.ends == "&" or call.command.loops or not call.words:
            continue
        found = _SLEEP.fullmatch(call.words[0].text)
        seconds = float(found.group(1)) * _UNITS[found.group(2)] if found else 0
        if seconds >= 1:
            text = (
                f"In {script.name}, sleep {call.words[0].text} keeps the application frozen that much longer: "
                "wait in a short "
                "loop for what must happen, with an end, or leave the sleep out."
            )
            yield Remark(Level.WARNING, "sleep", text, line=call.line)


def _handled(command: Command) -> bool:
    return command.is_condition or command.ends == "||" or "!" in command.keywords


def thaw_that_is_not_reached(script: Script) -> Iterator[Remark]:
    """Under set -e, whatever fails before the thaw leaves the application frozen."""
    if script.phase != Phase.AFTER or not script.stops_at_errors:
        return
    mine = [call for call in script.calls if _top(call) and not call.through]
    first = next((call for call in script.calls if freezing.thaws(call)), None)
    if first is None or any(call.name == "trap" for call in mine):
        return
    for call in mine:
        if call.line >= first.line:
            return
        if call.name not in _HARMLESS and not _handled(call.command):
            text = (
                f"In {script.name}, set -e ends the script where {call.name[:40]} fails, and the thaw behind "
                "it is never "
                "reached: thaw first, or take set -e away."
            )
            yield Remark(Level.WARNING, "thaw-behind-failure", text, line=call.line)
            return


def thaw_behind_and(script: Script) -> Iterator[Remark]:
    if script.phase != Phase.AFTER:
        return
    for call in script.calls:
        if freezing.thaws(call) and call.command.begins == "&&":
            text = (
                f"In {script.name}, the thaw stands behind &&, so it is skipped where the command in front of "
                "it fails: put a "
                "line of its own in the place of &&."
            )
            yield Remark(Level.WARNING, "thaw-behind-failure", text, line=call.line)


def after_that_gives_up(script: Script) -> Iterator[Remark]:
    """After gets 0 when before failed, and must thaw all the same: before may have frozen half of it."""
    if script.phase != Phase.AFTER:
        return
    thawed = next((call.line for call in script.calls if freezing.thaws(call)), 0)
    if not thawed:
        return
    tests = _failure_tests(script)
    for call in script.calls:
        if (
            call.name == "exit"
            and _top(call)
            and call.line < thawed
            and call.command.branches
            and call.line in tests
        ):
            text = (
                f"{script.name} ends without a thaw when its argument is 0, which says that before failed: "
                "thaw in any case, "
                "as before may have frozen something all the same."
            )
            yield Remark(Level.ERROR, "after-gives-up", text, line=call.line)


def _failure_tests(script: Script) -> set[int]:
    """Return the lines that are reached when the argument is 0: the first branch behind such a test."""
    found: set[int] = set()
    open_test = False
    for command in script.commands:
        words = [word.text for word in command.words]
        if command.is_condition and words:
            says = " ".join(words)
            open_test = bool(
                re.search(
                    r"(?:\$1|\$\{1[:}-][^\s]{0,20})\s+(?:-eq|=|==)\s+0\b|\$1\S{0,20}\s+(?:-ne|!=)\s+1\b",
                    says[:500],
                )
            )
        if "else" in command.keywords or "fi" in command.keywords or "elif" in command.keywords:
            open_test = open_test and command.is_condition
        if open_test and not command.is_condition:
            found.add(command.line)
    return found


def cannot_run_twice(script: Script) -> Iterator[Remark]:
    """After runs again until it succeeds, also when nothing is frozen any more."""
    if script.phase != Phase.AFTER:
        return
    commands = [call for call in script.calls if _top(call)]
    last = script.commands[-1] if script.commands else None
    for call in commands:
        once = _fails_the_second_time(call)
        if once and not _handled(call.command) and (script.stops_at_errors or call.command is last):
            text = (
                f"{script.name} cannot run twice: {once}, and then the server calls it a failure for an hour: "
                "make it succeed where nothing is left to do."
            )
            yield Remark(Level.WARNING, "runs-once", text, line=call.line)


def _fails_the_second_time(call: Call) -> str:
    words = [word.text for word in call.words]
    flags = "".join(
        word[1:] for word in words if word.startswith("-") and not word.startswith("--")
    )
    if call.name in ("fsfreeze", "xfs_freeze") and ("-u" in words or "--unfreeze" in words):
        return f"{call.name} -u fails on a file system that is not frozen"
    if call.name == "rm" and "f" not in flags and "--force" not in words:
        return "rm fails when the file is gone (write rm -f)"
    if call.name == "mkdir" and "p" not in flags:
        return "mkdir fails when the folder is there (write mkdir -p)"
    if call.name == "kill" and "-0" not in words:
        return "kill fails when the process is gone"
    if call.name in ("umount", "rmdir", "docker", "podman") and (
        call.name in ("umount", "rmdir") or "unpause" in words
    ):
        return f"{call.name} fails when it is done already"
    return ""


def swallowed(script: Script) -> Iterator[Remark]:
    """The exit code of the last command is the script's."""
    if (
        script.phase not in (Phase.BEFORE, Phase.AFTER)
        or script.stops_at_errors
        or not script.is_shell
    ):
        return
    steps = [command for command in script.commands if command.words and not command.substitutions]
    if not steps or not _always_succeeds(steps[-1]) or steps[-1].branches:
        return
    kept = max((c.line for c in script.commands for w in c.assigned if "$?" in w.text), default=0)
    for number, command in enumerate(steps[:-1]):
        name = command.name.rpartition("/")[2]
        asked = steps[number + 1 : number + 3]
        if (
            name not in _REMOTE_OR_DATABASE
            or command.branches
            or command.loops
            or _handled(command)
            or command.ends == "&&"
        ):
            continue
        if (
            any("$?" in word.text for each in asked for word in (*each.words, *each.assigned))
            or command.line <= kept
        ):
            continue
        text = (
            f"{script.name} ends with {steps[-1].name}, which always succeeds, so the server does not learn "
            f"that {name} failed: "
            "write || exit 1 behind it, or set -e at the top."
        )
        yield Remark(Level.WARNING, "exit-code-lost", text, line=command.line)


def _always_succeeds(command: Command) -> bool:
    words = [word.text for word in command.words]
    return words[0] in ("echo", "printf", "true", ":", "logger", "date") or words[:2] == [
        "exit",
        "0",
    ]


def freeze_or_true(script: Script) -> Iterator[Remark]:
    if script.phase not in (Phase.BEFORE, Phase.AFTER):
        return
    for number, command in enumerate(script.commands[:-1]):
        behind = script.commands[number + 1]
        if (
            command.ends != "||"
            or behind.name not in ("true", ":")
            or command.name not in ("ssh", "fsfreeze", "xfs_freeze", *freezing.MYSQL, "psql")
        ):
            continue
        if script.phase == Phase.BEFORE:
            text = (
                f"In {script.name}, || true hides that {command.name} failed, and the snapshots count as "
                "consistent: let before "
                "fail where it froze nothing."
            )
            yield Remark(Level.WARNING, "exit-code-lost", text, line=command.line)


def pipes(script: Script) -> Iterator[Remark]:
    if script.phase not in (Phase.BEFORE, Phase.AFTER) or "pipefail" in script.text:
        return
    for number, command in enumerate(script.commands[:-1]):
        behind = script.commands[number + 1]
        if (
            command.ends in ("|", "|&")
            and command.name in _REMOTE_OR_DATABASE
            and behind.name in ("tee", "logger", "cat", "ts")
        ):
            text = (
                f"In {script.name}, a pipe to {behind.name} hides that {command.name} failed: write set -o "
                "pipefail at the top."
            )
            yield Remark(Level.WARNING, "exit-code-lost", text, line=command.line)


def argument_of_before(script: Script) -> Iterator[Remark]:
    if script.phase != Phase.BEFORE:
        return
    for command in script.commands:
        if command.name in _TESTS and any(word.text in ("$1", "${1}") for word in command.words):
            if not command.loops and "()" not in script.text:
                text = f"{script.name} asks for its argument ($1), and before gets none: only after and complete do."
                yield Remark(Level.WARNING, "no-argument", text, line=command.line)
            return


def complete_that_ignores_its_argument(script: Script) -> Iterator[Remark]:
    if (
        script.phase != Phase.COMPLETE
        or not script.is_shell
        or re.search(r"\$(?:\{?1|@|\*|\{@)", script.text)
    ):
        return
    for call in script.calls:
        text = " ".join((call.name, *(word.text for word in call.words)))[:5000].lower()
        if call.name not in (
            "ssh",
            *freezing.MYSQL,
            "psql",
            "pg_archivecleanup",
            "rman",
        ) or not _TRUNCATES.search(text):
            continue
        said = (
            f"{script.name} deletes logs without asking for its argument, so also after a backup that failed: "
            "do it only where "
            '[ "$1" = 1 ].'
        )
        yield Remark(Level.ERROR, "truncates-always", said, line=call.line)
        return


def trap_that_thaws(script: Script) -> Iterator[Remark]:
    if script.phase != Phase.BEFORE:
        return
    traps = [call for call in script.calls if call.name == "trap" and not call.there]
    if any(call.words and call.words[0].text == "-" for call in traps):
        return
    for call in traps:
        words = [word.text for word in call.words]
        if "EXIT" in words[1:] and re.search(
            r"freeze -u|unfreeze|unlock tables|fsyncunlock|unpause|thaw", words[0].lower()[:500]
        ):
            text = (
                f"{script.name} thaws on EXIT, so nothing is frozen any more when before ends: say trap - "
                "EXIT right before it "
                "succeeds."
            )
            yield Remark(Level.ERROR, "trap-thaws", text, line=call.line)


def temporary_names(script: Script) -> Iterator[Remark]:
    for call in script.calls:
        for redirect in call.command.redirects:
            target = redirect.target
            if (
                redirect.sign in (">", ">|", "&>")
                and target.is_known
                and re.match(r"/(?:var/)?tmp/[^/]+$", target.text)
            ):
                text = (
                    f"{script.name} writes {target.text[:100]}, a name in a folder that everybody writes to, "
                    "so another account can "
                    "put its own file there: use mktemp, or pass the text to bash -s."
                )
                yield Remark(Level.WARNING, "temporary-name", text, line=call.line)


RULES = (
    sleeps,
    thaw_that_is_not_reached,
    thaw_behind_and,
    after_that_gives_up,
    cannot_run_twice,
    swallowed,
    freeze_or_true,
    pipes,
    argument_of_before,
    complete_that_ignores_its_argument,
    trap_that_thaws,
    temporary_names,
)
