"""Rules about secrets that a process list, an environment or an output would show. No remark repeats one."""

import re
from collections.abc import Callable, Iterator, Mapping

from scripts_admin.domain.lint import calls
from scripts_admin.domain.lint.calls import Call
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script

_MYSQL = "an option file with mode 600 (--defaults-extra-file=…)"
_MYSQL_PROGRAMS = (
    "mysql",
    "mariadb",
    "mysqladmin",
    "mariadb-admin",
    "mysqldump",
    "mariadb-dump",
    "mysqlbinlog",
    "mariadb-binlog",
    "mariabackup",
    "mariadb-backup",
    "xtrabackup",
    "mysqlsh",
)
_EN_DASH = "\u2013"  # a mistake of its own
_URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,100}:[^\s/@]{1,200}@")
# A word for a secret and a text of its own behind it; a variable or a command there is none.
_ASSIGNED = re.compile(
    r"(?i)(?:password|passwd|secret|token|api[_-]?key|access[_-]?key)\w{0,20}[\"']?\s{0,3}[=:]\s{0,3}[\"']?"
    r"(?![$`<{/])[^\s\"'$`<;)]{4,}"
)
_VARIABLES: Mapping[str, str] = {
    "PGPASSWORD": "a .pgpass file with mode 600",
    "MYSQL_PWD": _MYSQL,
    "REDISCLI_AUTH": "a file with mode 600, read into it: REDISCLI_AUTH=$(<file)",
    "SSHPASS": "an SSH key",
    "AWS_SECRET_ACCESS_KEY": "a role, or the account of the policy",
}


def _mysql(call: Call) -> bool:
    for word in call.words[:200]:
        text = word.text.replace(_EN_DASH, "-")
        if text.startswith("-p") and len(text) > len("-p"):
            return True
        if text.startswith("--password=") and len(text) > len("--password="):
            return True
    return False


def _after(*options: str, glued: str = "") -> Callable[[Call], bool]:
    """Return a check whether a word stands behind one of these options."""

    def given(call: Call) -> bool:
        words = [word.text for word in call.words[:200]]
        if any(
            word.startswith(f"{option}=")
            for word in words
            for option in options
            if option.startswith("--")
        ):
            return True
        if glued and any(word.startswith(glued) and len(word) > len(glued) for word in words):
            return True
        return any(word in options and number + 1 < len(words) for number, word in enumerate(words))

    return given


def _curl(call: Call) -> bool:
    given = calls.options(call.words, "uXHdoFATbcemwKx", ("--user", "--header", "--proxy-user"))
    return any(":" in word.text for word in given.values("-u", "--user", "--proxy-user")) or any(
        "authorization:" in word.text.lower() for word in given.values("-H", "--header")
    )


def _openssl(call: Call) -> bool:
    return any(word.text.startswith("pass:") for word in call.words)


# A program, how it gets a secret that the process list shows, and what to use instead.
_PROGRAMS: Mapping[str, tuple[Callable[[Call], bool], str]] = {
    **dict.fromkeys(_MYSQL_PROGRAMS, (_mysql, _MYSQL)),
    "sshpass": (_after("-p", glued="-p"), "an SSH key"),
    "curl": (_curl, "a netrc file with mode 600 (--netrc-file)"),
    "wget": (
        _after("--password", "--http-password", "--ftp-password"),
        "a .wgetrc or .netrc file with mode 600",
    ),
    "redis-cli": (_after("-a", "--pass"), "REDISCLI_AUTH, read from a file with mode 600"),
    "valkey-cli": (_after("-a", "--pass"), "REDISCLI_AUTH, read from a file with mode 600"),
    "mongosh": (_after("-p", "--password"), "a configuration file with mode 600 (--config)"),
    "mongo": (_after("-p", "--password"), "a configuration file with mode 600"),
    "ldapsearch": (_after("-w"), "a password file with mode 600 (-y)"),
    "smbclient": (_after("--password"), "a credentials file with mode 600 (-A)"),
    "openssl": (_openssl, "file: in the place of pass:"),
    "zip": (_after("-P", "--password"), "a program that reads its key from a file"),
    "influx": (_after("-password"), "a configuration file with mode 600"),
}


def on_a_command_line(script: Script) -> Iterator[Remark]:
    for call in script.calls:
        check, instead = _PROGRAMS.get(call.name, (None, ""))
        if check is None:
            check, instead = _has_url, "a configuration file with mode 600"
        if check(call):
            text = (
                f"{script.name} gives {call.name[:40]} a password on its command line, where every account of "
                "that machine "
                f"reads it in the process list: use {instead}."
            )
            yield Remark(Level.WARNING, "password-argument", text, line=call.line)


def _has_url(call: Call) -> bool:
    return any("://" in word.text and _URL.search(word.text[:2000]) for word in call.words[:200])


def in_a_variable(script: Script) -> Iterator[Remark]:
    for name, value, command in calls.assigned(script.commands):
        if name in _VARIABLES and value.text and value.is_known:
            text = (
                f"{script.name} holds a password ({name}), which everyone reads who may read the script: "
                f"use {_VARIABLES[name]}."
            )
            yield Remark(Level.WARNING, "password-in-script", text, line=command.line)
    if script.is_shell:
        for call in script.calls:
            assigns = [
                word for word in (*call.command.assigned, *call.words) if _is_secret(word.text)
            ]
            if assigns and call.there:
                text = (
                    f"{script.name} gives the far side a password in its command, where the process list "
                    "shows it: keep it "
                    "there in a file with mode 600."
                )
                yield Remark(Level.WARNING, "password-argument", text, line=call.line)


def _is_secret(text: str) -> bool:
    name, equals, value = text.partition("=")
    return bool(equals and value) and name in _VARIABLES


def traced(script: Script) -> Iterator[Remark]:
    if not script.is_shell:
        return
    line = 1 if re.search(r" -[a-z]*x", script.lines[0][:200]) else 0
    for call in script.calls:
        if (
            call.name == "set"
            and not call.there
            and any(re.fullmatch(r"-[a-z]*x[a-z]*", w.text) for w in call.words)
        ):
            line = line or call.line
    if line:
        text = (
            f"{script.name} prints each command with its values (-x), and the output is kept: take it away "
            "when the script "
            "works, and above all before it reads a password."
        )
        yield Remark(Level.ADVICE, "traces", text, line=line)


def over_ssm(script: Script) -> Iterator[Remark]:
    """Say where a script that runs on an instance holds a secret: over SSM its text is kept, and many may read it."""
    if not script.is_on_instance:
        return
    lines = {remark.line for rule in (on_a_command_line, in_a_variable) for remark in rule(script)}
    lines |= {
        number
        for number, line in enumerate(script.lines, 1)
        if _ASSIGNED.search(line[:2000]) and not line.lstrip().startswith("#")
    }
    for line in sorted(lines):
        text = (
            f"{script.name} holds a secret. Over SSM, AWS keeps the text of a script for 30 days, and everyone reads "
            "it who may list the account's commands: keep the secret on the instance, in a file with mode 600."
        )
        yield Remark(Level.WARNING, "secret-over-ssm", text, line=line)


RULES = (on_a_command_line, in_a_variable, traced)
