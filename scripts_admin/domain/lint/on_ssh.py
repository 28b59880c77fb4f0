"""Rules about ssh and its relatives: nobody answers a prompt in a backup, and no host is trusted unseen."""

from collections.abc import Iterator

from scripts_admin.domain.lint import calls
from scripts_admin.domain.lint.calls import Call
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script

_PROGRAMS = {
    "ssh": calls.SSH_VALUED,
    "scp": "cDFiJloPSX",
    "sftp": "BbcDFiJloPRSsX",
    "rsync": "eBfMT",
}
_OFF = ("no", "off", "false")


def _settings(call: Call) -> dict[str, str]:
    """Return the settings that a call gives with -o, in small letters."""
    given = calls.options(
        call.words, _PROGRAMS[call.name], ("--rsh",), first=call.name in ("ssh", "scp", "sftp")
    )
    texts = [word.text for word in given.values("-o")]
    for word in given.values("-e", "--rsh") if call.name == "rsync" else ():
        texts += [each.removeprefix("-o") for each in word.text.split() if "=" in each]
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.replace(" ", "=", 1).partition("=")
        found.setdefault(name.strip().lower(), value.strip().lower())
    return found


def _of(script: Script) -> Iterator[tuple[Call, dict[str, str]]]:
    for call in script.calls:
        if call.name in _PROGRAMS and _goes_over_the_network(call):
            yield call, _settings(call)


def _goes_over_the_network(call: Call) -> bool:
    texts = [word.text for word in call.words]
    if call.name == "rsync":
        return any(":" in text and not text.startswith("-") for text in texts)
    return any(not text.startswith("-") for text in texts) and "-V" not in texts


def batch_mode(script: Script) -> Iterator[Remark]:
    for call, settings in _of(script):
        if (
            settings.get("batchmode") != "yes"
            and not call.has_unknown
            and "-F" not in (w.text for w in call.words)
        ):
            option = "-e 'ssh -o BatchMode=yes'" if call.name == "rsync" else "-o BatchMode=yes"
            text = (
                f"In {script.name}, {call.name} may ask for a password or about a host, and nobody answers: "
                f"add {option}, so "
                "that it fails at once."
            )
            yield Remark(Level.WARNING, "ssh-batch-mode", text, line=call.line)


def host_keys(script: Script) -> Iterator[Remark]:
    for call, settings in _of(script):
        checking = settings.get("stricthostkeychecking", "")
        files = (
            f"{settings.get('userknownhostsfile', '')} {settings.get('globalknownhostsfile', '')}"
        )
        if checking in _OFF or "/dev/null" in files:
            what = "believes every host that answers"
        elif checking == "accept-new":
            what = "believes whichever host answers first"
        else:
            continue
        instead = (
            "write the host's key into the known_hosts of the instance"
            if script.is_on_instance
            else "approve the host's key on the page of the folder's hosts"
        )
        text = (
            f"In {script.name}, {call.name} {what}, so somebody in between can read and change what it does: "
            f"take that option away and {instead}."
        )
        yield Remark(Level.WARNING, "ssh-host-key", text, line=call.line)


def no_timeout(script: Script) -> Iterator[Remark]:
    for call, settings in _of(script):
        known = (
            call.has_unknown
            or "-F" in (word.text for word in call.words)
            or "timeout" in call.through
        )
        if script.phase and not known and "connecttimeout" not in settings and call.name != "rsync":
            text = (
                f"In {script.name}, {call.name} waits minutes for a host that does not answer: add -o "
                "ConnectTimeout=5, so that "
                "the script says itself what failed."
            )
            yield Remark(Level.ADVICE, "ssh-timeout", text, line=call.line)


def terminal(script: Script) -> Iterator[Remark]:
    for call in script.calls:
        if call.name == "ssh":
            has_one = calls.options(call.words, calls.SSH_VALUED, first=True).has("-t")
        elif (
            call.name in ("docker", "podman", "kubectl", "oc")
            and call.words
            and call.words[0].text == "exec"
        ):
            given = calls.options(call.words[1:], "ecnuw", ("--tty=true",), first=True)
            has_one = given.has("-t", "--tty")
        else:
            continue
        if has_one:
            text = f"In {script.name}, {call.name} asks for a terminal (-t), and a backup has none: leave -t out."
            yield Remark(Level.WARNING, "needs-terminal", text, line=call.line)


def eats_the_loops_input(script: Script) -> Iterator[Remark]:
    reads = {c.line for c in script.commands if c.name == "read" and c.is_condition and c.loops}
    for call in script.calls:
        if (
            not reads
            or call.name != "ssh"
            or not call.command.loops
            or call.there
            or call.command.is_condition
        ):
            continue
        given = calls.options(call.words, calls.SSH_VALUED, first=True)
        is_fed = (
            any(r.sign in ("<", "<<", "<<-", "<<<") for r in call.command.redirects)
            or call.command.begins
        )
        if not given.has("-n", "-f") and not is_fed and not call.has_unknown:
            text = (
                f"In {script.name}, ssh reads the input of the loop around it, which then ends after one "
                "turn: write ssh -n, or "
                "give it </dev/null."
            )
            yield Remark(Level.WARNING, "ssh-eats-input", text, line=call.line)


def left_behind_over_there(script: Script) -> Iterator[Remark]:
    for call in script.calls:
        if not call.there or call.command.ends != "&" or call.name in ("wait", "exit"):
            continue
        signs = {
            (r.number or ("0" if r.sign.startswith("<") else "1")) for r in call.command.redirects
        }
        signs |= (
            {"1", "2"} if any(r.sign.startswith("&") for r in call.command.redirects) else set()
        )
        if not {"1", "2"} <= signs:
            text = (
                f"In {script.name}, {call.name[:40]} runs on in the background over there and keeps its "
                "output open, so ssh "
                "waits for it: give it </dev/null >/dev/null 2>&1 before the &."
            )
            yield Remark(Level.WARNING, "background-output", text, line=call.line)


RULES = (batch_mode, host_keys, no_timeout, terminal, eats_the_loops_input, left_behind_over_there)
