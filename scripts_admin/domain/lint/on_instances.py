"""Rules about scripts that run on an instance. `how` says how they get there; None: that is not known."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from scripts_admin.domain.lint import calls, freezing, on_disks, on_secrets
from scripts_admin.domain.lint.calls import Call
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.remote import By, Remote

# SSM's agent writes each command there before it runs it.
AGENTS_FOLDERS = ("/var/lib/amazon/ssm", "/var/log/amazon/ssm", "/var/snap/amazon-ssm-agent")
_ROOT = "root"
_AGENTS = frozenset(
    ("amazon-ssm-agent", "snap.amazon-ssm-agent.amazon-ssm-agent", "amazon-ssm-agent.snap")
)
_DAEMONS = frozenset(("ssh", "sshd"))
_NETWORKS = frozenset(("network", "networking", "NetworkManager", "systemd-networkd"))
_ROOTS_ALONE = frozenset(
    ("fsfreeze", "xfs_freeze", "systemctl", "service", "mount", "umount", "dmsetup", "lvcreate")
)
_BECOMES = frozenset(("sudo", "doas", "su", "runuser"))
_OWN_FOLDER = ("$0", "${0", "BASH_SOURCE", "$PWD", "${PWD", "$(pwd")


def _may_be(how: Remote | None, by: By) -> bool:
    return how is None or how.by == by


def _is_root(how: Remote | None) -> bool:
    """Tell whether the script is certainly root's there."""
    return how is not None and (how.by == By.SSM or how.sudo or how.user == _ROOT)


def _by_ssm(how: Remote | None) -> str:
    return "" if how else "By SSM, "


def freezes_the_agent(script: Script, how: Remote | None) -> Iterator[Remark]:
    for call in script.calls if _may_be(how, By.SSM) else ():
        path = "" if call.there else on_disks.frozen(call)
        if not path or path in on_disks.NEEDED_ON_INSTANCE or not _has_the_agent(path):
            continue
        text = (
            f"{_by_ssm(how)}{script.name} freezes {path[:100]}, where the agent writes each command before it runs "
            "it, so after never starts and only the deadline thaws: freeze another file system, or go by SSH."
        )
        level = Level.ERROR if how else Level.WARNING
        yield Remark(level, "frozen-agent", text, line=call.line)


def _has_the_agent(path: str) -> bool:
    place = PurePosixPath(path)
    folders = map(PurePosixPath, AGENTS_FOLDERS)
    return any(each.is_relative_to(place) or place.is_relative_to(each) for each in folders)


def stops_its_own_way(script: Script, how: Remote | None) -> Iterator[Remark]:
    for call in script.calls:
        if call.there or freezing.freezes(call) != "service":
            continue
        stopped = {word.text.removesuffix(".service") for word in call.words}
        if stopped & (_AGENTS | _NETWORKS) and _may_be(how, By.SSM):
            text = (
                f"{_by_ssm(how)}{script.name} stops what brings after to the instance, so only the deadline thaws: "
                "leave it running, or go by SSH."
            )
            yield Remark(
                Level.ERROR if how else Level.WARNING, "stops-its-way", text, line=call.line
            )
        elif stopped & (_DAEMONS | _NETWORKS) and _may_be(how, By.SSH):
            text = (
                f"{script.name} stops what the server logs in with, so nobody can thaw from outside if the session "
                "is lost: leave it running."
            )
            yield Remark(Level.WARNING, "stops-its-way", text, line=call.line)


def needs_root(script: Script, how: Remote | None) -> Iterator[Remark]:
    """Tell where an account that is not root does what root alone may; by SSM, and with sudo, it is root."""
    if how is None or _is_root(how):
        return
    for call in script.calls:
        if call.name in _ROOTS_ALONE and not call.there and not _BECOMES & set(call.through):
            text = (
                f"{script.name} runs on the instance as {how.user}, and {call.name} usually needs root: switch on sudo "
                f"for the instance in the policy, or write sudo -n {call.name}."
            )
            yield Remark(Level.WARNING, "needs-root", text, line=call.line)
            return


def sudo_of_root(script: Script, how: Remote | None) -> Iterator[Remark]:
    if not _is_root(how):
        return
    for call in script.calls:
        if call.name != "sudo" or call.there or call.command.branches:
            continue
        given = calls.options(call.words, "ugpChrtTUDR", ("--user", "--group"), first=True)
        if not given.has("-u", "--user", "-g", "--group", "-l", "--list"):
            text = (
                f"In {script.name}, sudo is superfluous, as root runs the script on the instance, and it fails where "
                "sudo is not installed or asks for a terminal: leave it out."
            )
            yield Remark(Level.ADVICE, "sudo-of-root", text, line=call.line)
            return


def stays_here(script: Script, _: Remote | None) -> Iterator[Remark]:
    """Tell where a script uses a file beside it, which stays on the server."""
    own = {
        f"${name}/"
        for name, value, _ in calls.assigned(script.commands)
        if any(sign in value.text for sign in _OWN_FOLDER)
    }
    for call in script.calls:
        # What is done on a condition is often done only where the file is there.
        is_sure = not call.command.branches and call.command.begins not in ("||", "&&")
        path = "" if call.there or call.through or not is_sure else _run_or_read(call)
        if _lies_beside(path, own):
            text = (
                f"{script.name} uses a file beside it ({path[:60]}), and only this file is carried to the instance: "
                "put its text into this file, or install it there and write its whole path."
            )
            yield Remark(Level.WARNING, "stays-here", text, line=call.line)


def _run_or_read(call: Call) -> str:
    """Return the path of a file that a call runs or reads as shell."""
    if call.name in (".", "source"):
        path = call.words[0].text if call.words else ""
        return path if "/" in path else f"./{path}"
    if call.name in calls.SHELLS:
        given = calls.options(call.words, "cO", first=True)
        return given.rest[0].text if given.rest and not given.has("-c", "-s") else ""
    return call.command.name


def _lies_beside(path: str, own: set[str]) -> bool:
    plain = path.replace("{", "").replace("}", "")
    if path.startswith(("./", "../")) or any(plain.startswith(each) for each in own):
        return True
    return path.startswith("$") and "/" in path and any(sign in path for sign in _OWN_FOLDER)


def over_ssm(script: Script, how: Remote | None) -> Iterator[Remark]:
    """Tell of secrets where the way is not known; where it is, that is said with the policy."""
    if how is None:
        yield from on_secrets.over_ssm(script)


RULES = (
    freezes_the_agent,
    stops_its_own_way,
    needs_root,
    sudo_of_root,
    stays_here,
    over_ssm,
)
