"""Why an instance cannot be used over SSH: one sentence each, for whoever can change it.

What the far side said is quoted short and harmless: a stranger may have written it.
"""

import errno
import re
from collections.abc import Collection
from enum import StrEnum

from n2wbackup.lib import terminal
from scripts_admin.domain.ssh import PublicKey

_QUOTED_CHARACTERS = 300
_PROHIBITED, _NOT_CONNECTED = 1, 2  # RFC 4254, 5.1


class Why(StrEnum):
    """What stands in the way, for programs."""

    NO_ADDRESS = "no address"
    NO_ROUTE = "no route"
    CLOSED = "closed port"
    SILENT = "silent"
    NOT_SSH = "not ssh"
    BUSY = "busy"
    HOST_UNKNOWN = "host unknown"
    HOST_CHANGED = "host changed"
    KEY = "key not accepted"
    MORE = "wants more than a key"
    FORWARD = "bastion"
    NO_SESSION = "no session"
    SUDO = "sudo"
    TTY = "terminal"
    SFTP = "sftp only"
    FORCED = "forced command"
    NO_LOGIN = "no login"
    LOST = "lost"


class RefusedError(Exception):
    """An instance cannot be used; the text is a sentence for people, `why` says it for programs."""

    def __init__(self, why: Why, text: str) -> None:
        """Keep both."""
        super().__init__(terminal.line(text))
        self.why = why


class HostKeyError(RefusedError):
    """A host proved a key that is not the approved one, or that nobody has approved; no login was tried.

    `host` and `port` tell which host it was, as it may be the bastion; `shown` is its key as OpenSSH writes it.
    """

    def __init__(self, why: Why, text: str, *, host: str, port: int, shown: str) -> None:
        """Keep what the host showed."""
        super().__init__(why, text)
        self.host, self.port, self.shown = host, port, shown


def host_changed(
    host: str, port: int, where: str, approved: Collection[PublicKey], shown: PublicKey | None
) -> HostKeyError:
    """Return the refusal for a host whose key is not the approved one; `shown` is None if it has none of that kind."""
    shows = shown.fingerprint if shown else "no key of that kind"
    return HostKeyError(
        Why.HOST_CHANGED,
        f"The host key of {where} has changed: it shows {shows}, and "
        f"{' or '.join(each.fingerprint for each in approved)} is approved. Somebody else may be answering in its "
        "place, or it was built anew: compare the keys on the page Hosts of these scripts.",
        host=host,
        port=port,
        shown=str(shown or ""),
    )


def host_unknown(host: str, port: int, where: str, shown: PublicKey) -> HostKeyError:
    """Return the refusal for a host of which no key is approved."""
    return HostKeyError(
        Why.HOST_UNKNOWN,
        f"Nobody has approved the host key of {where}: it shows {shown.fingerprint}. Compare it on the page Hosts of "
        "these scripts, and approve it if it is right.",
        host=host,
        port=port,
        shown=str(shown),
    )


def of_connection(error: OSError, where: str, seconds: float) -> RefusedError:
    """Return the refusal for a TCP connection that failed."""
    if error.errno == errno.ECONNREFUSED:
        return RefusedError(
            Why.CLOSED,
            f"{where} refused the connection: start sshd there, or correct the port.",
        )
    if error.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EACCES}:
        return RefusedError(
            Why.NO_ROUTE,
            f"There is no way from this server to {where}: check that it runs, its routes and network ACLs, "
            "or enter a bastion.",
        )
    return silent(where, seconds)


def silent(where: str, seconds: float) -> RefusedError:
    """Return the refusal for a host that did not answer in time."""
    return RefusedError(
        Why.SILENT,
        f"{where} did not answer within {seconds:g} s: check that it runs, and that its security group lets this "
        "server in.",
    )


def of_handshake(said: str, where: str) -> RefusedError:
    """Return the refusal for a connection on which SSH did not begin; `said` is the library's or the host's word."""
    if "maxstartups" in said.lower():
        return RefusedError(
            Why.BUSY,
            f"{where} has too many logins at this moment (MaxStartups): raise MaxStartups in its sshd_config, or "
            "let fewer machines reach its port.",
        )
    if "protocol version" in said.lower() or "SSH banner" in said:
        return RefusedError(
            Why.NOT_SSH, f"{where} does not speak SSH: correct the host or the port."
        )
    return RefusedError(
        Why.BUSY,
        f"{where} closed the connection before the login: its sshd has too many logins at once (MaxStartups), or "
        f"something there refuses this server (firewall, fail2ban).{_quote(said)}",
    )


def no_common(where: str, said: str) -> RefusedError:
    """Return the refusal for a host whose sshd has no algorithm in common with us."""
    return RefusedError(
        Why.NOT_SSH,
        f"{where} has no SSH algorithm in common with this server: bring its OpenSSH up to date.{_quote(said)}",
    )


def key_not_accepted(
    user: str, where: str, fingerprints: Collection[str], *, is_connect: bool
) -> RefusedError:
    """Return the refusal for a login without an accepted key."""
    if is_connect:
        return RefusedError(
            Why.KEY,
            f"{where} did not let {user} in with the key that EC2 Instance Connect handed over: install "
            "ec2-instance-connect there, check that the user exists, or use a stored key.",
        )
    return RefusedError(
        Why.KEY,
        f"{where} did not let {user} in with {' or '.join(fingerprints) or 'no key'}: add the line from the page "
        f"Keys to ~/.ssh/authorized_keys of {user} there, and check that the user exists.",
    )


def wants_more(user: str, where: str, methods: Collection[str]) -> RefusedError:
    """Return the refusal for a host to which a key is not enough."""
    asked = ", ".join(sorted(methods)) or "something else"
    return RefusedError(
        Why.MORE,
        f"{where} wants more from {user} than a key ({asked}): let a key alone suffice for this user there "
        "(PubkeyAuthentication, AuthenticationMethods).",
    )


def of_forwarding(code: int, said: str, where: str, bastion: str) -> RefusedError:
    """Return the refusal for a bastion that did not connect to the instance."""
    if code == _NOT_CONNECTED:
        return RefusedError(
            Why.FORWARD,
            f"The bastion {bastion} could not connect to {where}: check that the instance runs, and that its "
            f"security group lets the bastion in.{_quote(said)}",
        )
    forbidden = " forbids it" if code == _PROHIBITED else " refused"
    return RefusedError(
        Why.FORWARD,
        f"The bastion {bastion} was asked to connect to {where} and{forbidden}: allow AllowTcpForwarding in its "
        "sshd_config, and begin the key's line in authorized_keys there with restrict,port-forwarding."
        f"{_quote(said)}",
    )


def no_session(where: str, user: str, said: str) -> RefusedError:
    """Return the refusal for a host that lets us in and starts no command."""
    return RefusedError(
        Why.NO_SESSION,
        f"{where} let {user} in and started no command (MaxSessions, or a restriction of the key): allow it there."
        f"{_quote(said)}",
    )


def lost(where: str) -> RefusedError:
    """Return the refusal for a connection that ended while it was needed."""
    return RefusedError(
        Why.LOST,
        f"The connection to {where} ended: check that the instance runs, and what lies between; then try again.",
    )


_SUDO_PASSWORD = re.compile(
    r"sudo: .*(password is required|terminal is required to read the password|no password)"
)
_SUDO_NOT_ALLOWED = re.compile(r"not in the sudoers|not allowed to (execute|run)|may not run sudo")
_SUDO_MISSING = re.compile(
    r"sudo: (command )?not found|sudo: No such file|sudo.*: (inaccessible or )?not found"
)


def of_start(
    user: str, where: str, exit_status: int | None, printed: str, *, sudo: bool
) -> RefusedError:
    """Return the refusal for a command that was started and is not ours; `printed` is all that it said.

    An exit status of None: the command still runs.
    """
    for fits, why, text in _STARTS:
        if fits.search(printed):
            return RefusedError(why, text.format(user=user, where=where) + _quote(printed))
    ended = "still runs" if exit_status is None else f"ended with exit status {exit_status}"
    if not exit_status and not sudo:
        return RefusedError(
            Why.FORCED,
            f"{where} started something else than what it was asked to, and it {ended}: remove ForceCommand for "
            f"{user} from its sshd_config, and command= from authorized_keys.{_quote(printed)}",
        )
    return RefusedError(
        Why.NO_SESSION,
        f"{where} did not start what it was asked to; the command {ended}: check the login shell of {user} there, "
        f"and ForceCommand in its sshd_config.{_quote(printed)}",
    )


_STARTS = (
    (
        re.compile(r"must have a tty|no tty present and no askpass"),
        Why.TTY,
        (
            "sudo on {where} wants a terminal from {user}: add the line `Defaults:{user} !requiretty` to its sudoers "
            "(visudo)."
        ),
    ),
    (
        _SUDO_PASSWORD,
        Why.SUDO,
        (
            "sudo on {where} wants a password from {user}: add `{user} ALL=(root) NOPASSWD: ALL`, or the same for "
            "/bin/sh alone, to its sudoers (visudo)."
        ),
    ),
    (
        _SUDO_NOT_ALLOWED,
        Why.SUDO,
        (
            "sudo on {where} lets {user} run nothing as root: add `{user} ALL=(root) NOPASSWD: ALL`, or the same for "
            "/bin/sh alone, to its sudoers (visudo)."
        ),
    ),
    (
        _SUDO_MISSING,
        Why.SUDO,
        "{where} has no sudo: install it, or log in as root and switch sudo off.",
    ),
    (
        re.compile(r"allows sftp connections only"),
        Why.SFTP,
        "{where} lets {user} transfer files and nothing else (internal-sftp): use a user that may run commands.",
    ),
    (
        re.compile(r"account is currently not available|no shell access|nologin"),
        Why.NO_LOGIN,
        "{user} on {where} has no shell (nologin): use a user that may run commands.",
    ),
)


def _quote(said: str) -> str:
    words = " ".join(said.split())
    if not words:
        return ""
    if len(words) > _QUOTED_CHARACTERS:
        words = words[: _QUOTED_CHARACTERS - 3] + "..."
    return f' It said: "{words}".'
