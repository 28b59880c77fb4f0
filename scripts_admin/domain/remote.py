"""Scripts that run on an instance: how they get there, whose file serves which instance, and who thawed it. Pure."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from n2wbackup.lib import nearest
from scripts_admin.domain import names, ssh
from scripts_admin.domain.phases import Phase

PHASES = (Phase.BEFORE, Phase.AFTER)  # complete is for the whole run, and runs on the server
ALL = "all"  # before_policy1@all.sh serves every instance that has no file of its own
AT = "@"
DOCUMENT = "AWS-RunShellScript"
MAX_BYTES = 256 * 1024  # of one script: both lie in the instance's memory
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_DOCUMENT = re.compile(r"[A-Za-z0-9_.:/-]{3,128}")
_PATH_CHARACTERS = 1024


class By(StrEnum):
    """How scripts get to an instance."""

    SSH = "ssh"
    SSM = "ssm"


class Key(StrEnum):
    """Which key opens an SSH session."""

    INSTANCE_CONNECT = "instance-connect"  # a pair in memory, valid for 60 s
    STORED = "stored"  # the valid keys of the policy's folder


class ThawnBy(StrEnum):
    """Who began the thaw on an instance, as its own wrapper says; only WORKER did as it was told."""

    WORKER = "worker"
    EOF = "eof"  # the connection ended
    DEADLINE = "deadline"
    SILENCE = "silence"  # the connection stood, and nothing came
    ORPHAN = "orphan"  # the wrapper was gone: a process that it left, or a second session of ours

    @classmethod
    def of(cls, word: str) -> "ThawnBy":
        """Return who this word names; ORPHAN, an automatic thaw, for a word that only another version knows."""
        try:
            return cls(word)
        except ValueError:
            return cls.ORPHAN


@dataclass(frozen=True, slots=True)
class Bastion:
    """A host through which SSH reaches the instance; `user` is empty for the instance's own."""

    host: str
    port: int = ssh.DEFAULT_PORT
    user: str = ""

    @classmethod
    def parse(cls, text: str) -> "Bastion":
        """Read `[user@]host[:port]`, an IPv6 address in brackets; ValueError with a sentence if it is none."""
        user, at, place = text.strip().rpartition(AT)
        if _has_space(place):
            raise ValueError(f"{place[:40]!r} is no bastion: {_BASTION}")
        host, colon, port = place.rpartition(":")
        if not colon or (":" in host and not host.endswith("]")) or place.endswith("]"):
            host, port = place, str(ssh.DEFAULT_PORT)
        if at and not _ACCOUNT.fullmatch(user):
            raise ValueError(f"{user[:40]!r} is no account of a bastion: {_BASTION}")
        if not _is_port(port):
            raise ValueError(f"{port[:40]!r} is no port of a bastion: {_BASTION}")
        return cls(ssh.host_name(host), int(port), user)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}{AT}" if self.user else ""
        return user + (host if self.port == ssh.DEFAULT_PORT else f"{host}:{self.port}")


_BASTION = "write host, user@host or user@host:port."


@dataclass(frozen=True, slots=True)
class Remote:
    """How scripts get to one instance. An empty `by`: none do, and the others are empty, too.

    An empty `host` stands for the instance's private address. `before` and `after` are paths on the instance; where
    one is empty, the script is a file of the policy's folder.
    """

    by: str = ""
    user: str = ""
    key: str = ""
    host: str = ""
    port: int | None = None
    bastion: str = ""
    sudo: bool = False
    document: str = ""
    before: str = ""
    after: str = ""

    def __bool__(self) -> bool:
        return bool(self.by)

    def filled(self) -> "Remote":
        """Return it with the defaults of its way in, as it is stored."""
        if self.by == By.SSH:
            key = self.key or Key.INSTANCE_CONNECT.value
            port = ssh.DEFAULT_PORT if self.port is None else self.port
            return replace(self, key=key, port=port)
        if self.by == By.SSM:
            return replace(self, document=self.document or DOCUMENT)
        return self

    @property
    def through(self) -> Bastion | None:
        """The bastion; ValueError if it is none."""
        return Bastion.parse(self.bastion) if self.bastion else None

    def path(self, phase: Phase) -> str:
        """Return the path on the instance that the target names for a phase, or ""."""
        return {Phase.BEFORE: self.before, Phase.AFTER: self.after}.get(phase, "")

    def as_document(self) -> dict[str, Any] | None:
        """Return it with the keys of the document of `apply`; None if no script runs on the instance."""
        if not self.by:
            return None
        paths = {phase.value: self.path(phase) or None for phase in PHASES}
        scripts = {"scripts": paths} if any(paths.values()) else {}
        if self.by == By.SSM:
            return {"by": self.by, "document": self.document, **scripts}
        return {
            "by": self.by,
            "user": self.user,
            "key": self.key,
            "host": self.host or None,
            "port": self.port,
            "bastion": self.bastion or None,
            "sudo": self.sudo,
            **scripts,
        }

    @classmethod
    def of_document(cls, said: Mapping[str, Any] | None) -> "Remote":
        """Return what `as_document` wrote; what another version wrote besides is left out."""
        said = said or {}
        scripts = said.get("scripts") or {}
        found = {**{phase.value: scripts.get(phase) for phase in PHASES}, **said}
        known = {key: found.get(key) for key in cls.__slots__}
        return cls(**{key: value for key, value in known.items() if value is not None}).filled()

    def __str__(self) -> str:
        """Return it in words; "" if no script runs on the instance."""
        if not self.by:
            return ""
        own = [f"{phase} {self.path(phase)}" for phase in PHASES if self.path(phase)]
        if self.by == By.SSM:
            return ", ".join([f"by SSM with {self.document}", *own])
        at = f" at {self.host}" if self.host else ""
        port = f" port {self.port}" if self.port not in (None, ssh.DEFAULT_PORT) else ""
        key = "a stored key" if self.key == Key.STORED else "EC2 Instance Connect"
        more = [f"through {self.bastion}"] if self.bastion else []
        more += ["with sudo"] if self.sudo else []
        return ", ".join([f"by SSH as {self.user}{at}{port} with {key}", *more, *own])

    def mistakes(self, target: str, *, is_instance: bool) -> Iterator[tuple[str, str]]:
        """Yield each mistake with its key of the document below `remote`; the instance is not asked."""
        said = self._said()
        if not is_instance and (said or self.by):
            yield (
                "by",
                f"{target} is a volume, so no script can run on it: remove remote, or name its instance as target.",
            )
        elif self.by == By.SSH:
            yield from self._mistakes_of_ssh(said)
            yield from self._mistakes_of_paths()
        elif self.by == By.SSM:
            yield from self._mistakes_of_ssm(said)
            yield from self._mistakes_of_paths()
        elif self.by:
            hint = nearest.hint(self.by, By)
            yield "by", f"{self.by[:40]!r} is no way to an instance: write ssh or ssm.{hint}"
        elif said:
            yield (
                "by",
                f"Scripts on {target} need a way in: write by: ssh or by: ssm, or remove {said[0]}.",
            )

    def _said(self) -> list[str]:
        """Return the keys that have a value, but `by`."""
        found = {key: getattr(self, key) for key in self.__slots__ if key != "by"}
        return [key for key, value in found.items() if value not in ("", None, False)]

    def _mistakes_of_ssm(self, said: list[str]) -> Iterator[tuple[str, str]]:
        foreign = [key for key in said if key not in {"document", *PHASES}]
        if foreign:
            verb = "has" if len(foreign) == 1 else "have"
            why = f"By SSM the agent runs the scripts as root, so {_and(foreign)} {verb} no meaning"
            yield foreign[0], f"{why}: remove this, or write by: ssh."
        if self.document and not _DOCUMENT.fullmatch(self.document):
            yield (
                "document",
                f"{self.document[:40]!r} is no name of an SSM document: write one such as {DOCUMENT}.",
            )
        elif "powershell" in self.document.lower():
            yield (
                "document",
                f"{self.document} runs PowerShell, but scripts on instances run in a POSIX shell: use {DOCUMENT}.",
            )

    def _mistakes_of_ssh(self, said: list[str]) -> Iterator[tuple[str, str]]:
        if "document" in said:
            yield "document", "An SSM document has no meaning by SSH: remove it, or write by: ssm."
        if not self.user:
            yield (
                "user",
                "By SSH the scripts need an account on the instance: name it, such as ec2-user.",
            )
        elif not _ACCOUNT.fullmatch(self.user):
            yield (
                "user",
                f"{self.user[:40]!r} is no name of a Linux account: write one such as ec2-user.",
            )
        elif self.user == "root" and self.sudo:
            yield "sudo", "root needs no sudo: leave it out, or name another account."
        if self.key and self.key not in list(Key):
            hint = nearest.hint(self.key, Key)
            yield (
                "key",
                f"{self.key[:40]!r} is no kind of key: write instance-connect or stored.{hint}",
            )
        yield from self._mistakes_of_places()

    def _mistakes_of_places(self) -> Iterator[tuple[str, str]]:
        if self.host and (why := _no_host(self.host)):
            yield "host", why
        if self.port is not None and not _is_port(str(self.port)):
            yield "port", f"{self.port} is no port: write a number from 1 to {ssh.LAST_PORT}."
        try:
            self.through  # noqa: B018 - it says what is wrong
        except ValueError as error:
            yield "bastion", str(error)
        else:
            if self.bastion != self.bastion.strip():
                yield "bastion", f"{self.bastion[:40]!r} is no bastion: {_BASTION}"

    def _mistakes_of_paths(self) -> Iterator[tuple[str, str]]:
        for phase in PHASES:
            path = self.path(phase)
            fits = path.isprintable() and len(path) <= _PATH_CHARACTERS and not path.endswith("/")
            if path and not (path.startswith("/") and fits):
                why = f"{path[:80]!r} is no path of a script on the instance"
                yield (
                    f"scripts.{phase}",
                    f"{why}: write one such as /usr/local/sbin/{phase}_backup.",
                )


def _is_port(text: str) -> bool:
    is_short = len(text) <= len(str(ssh.LAST_PORT))
    return is_short and text.isascii() and text.isdecimal() and 0 < int(text) <= ssh.LAST_PORT


def _no_host(text: str) -> str:
    """Return why the text is no host, or ""."""
    if _has_space(text):
        return f"{text[:80]!r} is no host: write it without spaces."
    try:
        ssh.host_name(text)
    except ssh.NotAKeyError as error:
        return str(error)
    return ""


def _has_space(text: str) -> bool:
    return any(letter.isspace() for letter in text)


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def caller(path: str) -> bytes:
    """Return the script that runs the one at this path on the instance, with the same argument and exit code."""
    return f'#!/bin/sh\nexec {shlex.quote(path)} "$@"\n'.encode()


@dataclass(frozen=True, slots=True)
class Named:
    """What the name of a remote script says: `instance` is what stands behind the @."""

    phase: Phase
    policy: str
    instance: str


def named(file_name: str) -> Named | None:
    """Return what a file name says if its base name is that of a remote script, of whatever policy and instance."""
    base, dot, rest = file_name.partition(".")
    phase, _, name = base.partition("_")
    policy, at, instance = name.partition(AT)
    is_whole = dot and rest and at and not names.is_ignored(file_name)
    if not is_whole or phase not in list(Phase) or not names.is_policy_name(policy):
        return None
    return Named(Phase(phase), policy, instance)


def candidates(file_names: Iterable[str], phase: Phase, policy: str, instance: str) -> list[str]:
    """Return the files for a phase of a policy on an instance, sorted; more than one is ambiguous.

    A file of the instance's own hides those for all instances, also if it cannot be taken.
    """
    listed = list(file_names)
    own = names.candidates(listed, phase, f"{policy}{AT}{instance}")
    return own or names.candidates(listed, phase, f"{policy}{AT}{ALL}")


def why_not_carried(content: bytes, name: str) -> str:
    """Return a sentence that says why a file's text cannot run on an instance, or "" if it can.

    It runs there as `<its interpreter> <file>`, so it needs no x permission. The interpreter is only looked for there.
    """
    first = content.partition(b"\n")[0]
    if not content.strip():
        return f"{name} is empty: write the script into it."
    if len(content) > MAX_BYTES:
        return f"{name} is larger than {MAX_BYTES // 1024} KiB, too large for the instance's memory: shorten it."
    if b"\0" in content:
        return (
            f"{name} is a binary, and only texts are carried to an instance: install it there, and name its path as "
            "remote.scripts of the target."
        )
    if not first.startswith(b"#!") or not first[2:].strip().startswith(b"/"):
        return f"{name} names no interpreter in its first line: write one, such as #!/bin/sh."
    if first.endswith(b"\r"):
        return f"{name} has Windows line ends, so its interpreter would not be found: convert it with dos2unix."
    return ""
