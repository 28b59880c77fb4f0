"""Rules about what asks a person: a script's standard input is /dev/null, and nobody is there."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from scripts_admin.domain.lint import calls
from scripts_admin.domain.lint.calls import Call
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script

_INTERACTIVE = frozenset(
    (
        "vi",
        "vim",
        "nano",
        "emacs",
        "less",
        "more",
        "dialog",
        "whiptail",
        "mysql_secure_installation",
        "ssh-copy-id",
        "visudo",
    )
)


def _reads_nothing(call: Call) -> bool:
    command = call.command
    reads = any(
        redirect.sign in ("<", "<<", "<<-", "<<<", "<&", "<>") for redirect in command.redirects
    )
    is_fed = (
        reads
        or command.begins in ("|", "|&")
        or any(word.text.startswith("-u") for word in call.words)
    )
    return not is_fed and not command.is_condition and not command.loops and not _is_in_group(call)


def _is_in_group(call: Call) -> bool:
    """Tell whether the command may be fed by what stands around it: a group, a function, a substitution."""
    return bool(call.command.substitutions or call.command.keywords)


def _installs(call: Call) -> bool:
    words = [word.text for word in call.words]
    changes = any(
        word in ("install", "remove", "upgrade", "update", "dist-upgrade", "purge")
        for word in words
    )
    if call.name in ("apt", "apt-get", "aptitude") and "update" in words:
        changes = False
    agreed = any(
        word.startswith("-") and not word.startswith("--") and "y" in word for word in words
    )
    return (
        changes
        and not agreed
        and not {"--yes", "--assume-yes", "--assumeyes", "--force-yes"} & set(words)
    )


def _sudo(call: Call) -> bool:
    given = calls.options(call.words, "ugpChrtTUDR", first=True)
    return (
        not given.has("-n", "--non-interactive", "-S", "-V", "-A", "-k", "-K")
        and not call.has_unknown
    )


def _asks_mysql(call: Call) -> bool:
    return any(word.text in ("-p", "--password") for word in call.words)


def _asks_psql(call: Call) -> bool:
    return any(word.text in ("-W", "--password") for word in call.words)


def _passwd(call: Call) -> bool:
    return not any(word.text in ("--stdin", "-l", "-u", "-S", "-d", "-e") for word in call.words)


def _keygen(call: Call) -> bool:
    words = {word.text for word in call.words}
    return not words & {"-N", "-y", "-l", "-F", "-R", "-H", "-e", "-i", "-B", "-Y", "-A"}


def _asks_rm(call: Call) -> bool:
    return calls.options(call.words).has("-i", "-I")


# What asks, when, and what to do instead.
_ASKS: Mapping[str, tuple[Callable[[Call], bool], str]] = {
    "read": (_reads_nothing, "take the value from a file, or write it into the script"),
    **dict.fromkeys(("apt", "apt-get", "aptitude", "yum", "dnf", "zypper"), (_installs, "add -y")),
    "sudo": (_sudo, "write sudo -n, so that it fails at once where a password is needed"),
    **dict.fromkeys(
        ("mysql", "mariadb", "mysqladmin", "mysqldump"),
        (_asks_mysql, "use --defaults-extra-file=… with mode 600"),
    ),
    "psql": (_asks_psql, "use -w and a .pgpass file with mode 600"),
    "passwd": (_passwd, "leave it out of a backup"),
    "ssh-keygen": (_keygen, "make the key beforehand"),
    **dict.fromkeys(("rm", "cp", "mv"), (_asks_rm, "leave -i out")),
    **dict.fromkeys(_INTERACTIVE, (lambda _: True, "leave it out: it needs a terminal")),
    "select": (lambda _: True, "leave it out, and write the choice into the script"),
}


def prompts(script: Script) -> Iterator[Remark]:
    inner: Sequence[Call] = script.calls
    for call in inner:
        asks, instead = _ASKS.get(call.name, (None, ""))
        if asks is not None and asks(call):
            text = f"In {script.name}, {call.name} asks a person, and in a backup nobody answers: {instead}."
            yield Remark(Level.WARNING, "prompt", text, line=call.line)


RULES = (prompts,)
