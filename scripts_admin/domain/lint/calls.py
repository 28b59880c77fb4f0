"""Which programs a script calls, seen through sudo, timeout, bash -c, ssh and their like.

A command that a script hands to another machine or to another shell as a text is read as a script of its own. So the
rules see `ssh host "mysql -e …"` as what it is: a call of mysql, over there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scripts_admin.domain.lint import shell
from scripts_admin.domain.lint.commands import Command, Word

_DEEPEST = 5  # texts within texts
_STARTERS_AT_MOST = 8  # sudo that starts sudo
SHELLS = frozenset(("bash", "sh", "dash", "ksh", "mksh", "zsh"))
SSH_VALUED = "bcDEeFIiJLlmOopQRSWwB"
# What only starts another program: its options that take a value, and how many words follow before the program.
_STARTERS: Mapping[str, tuple[str, int]] = {
    "sudo": ("ugpChrtTUDR", 0),
    "doas": ("uC", 0),
    "timeout": ("ks", 1),
    "nice": ("n", 0),
    "ionice": ("cnp", 0),
    "env": ("uCS", 0),
    "exec": ("a", 0),
    "stdbuf": ("ioe", 0),
    "flock": ("wE", 1),
    "sshpass": ("pfdP", 0),
    "xargs": ("IdEnPsLa", 0),
    "chroot": ("", 1),
    "systemd-run": ("putEHM", 0),
    "nsenter": ("tSGrw", 0),
    **dict.fromkeys(
        ("nohup", "setsid", "command", "builtin", "time", "chronic", "unbuffer", "catchsegv"),
        ("", 0),
    ),
}
_IN_CONTAINERS = frozenset(("docker", "podman", "nerdctl", "kubectl", "oc", "lxc"))
_ASSIGNS = frozenset(("export", "local", "declare", "readonly", "typeset"))


@dataclass(frozen=True, slots=True)
class Call:
    """A program with its arguments; `there` tells that it runs on another machine, `through` what starts it."""

    name: str
    words: tuple[Word, ...]
    command: Command
    there: bool = False
    through: tuple[str, ...] = ()
    fed: Word | None = None  # what it certainly reads from its standard input

    @property
    def line(self) -> int:
        return self.words[0].line if self.words else self.command.line

    @property
    def has_unknown(self) -> bool:
        """Tell whether the shell may put options of its own among the words: an unquoted or array expansion."""
        return any(
            "$" in word.bare or "[@]" in word.text or "$@" in word.text for word in self.words
        )


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a call as (name, value), and the words that are none."""

    given: tuple[tuple[str, Word | None], ...]
    rest: tuple[Word, ...]

    def has(self, *names: str) -> bool:
        return any(name in names for name, _ in self.given)

    def values(self, *names: str) -> list[Word]:
        return [value for name, value in self.given if name in names and value is not None]


def options(
    words: Sequence[Word], valued: str = "", long_valued: Sequence[str] = (), *, first: bool = False
) -> Options:
    """Take the options of a call apart; with `first`, the options end at the first word that is none."""
    given: list[tuple[str, Word | None]] = []
    rest: list[Word] = []
    todo = list(reversed(words))
    while todo:
        word = todo.pop()
        text = word.text
        if text == "--" or (first and not text.startswith("-")):
            rest += [word] if text != "--" else []
            rest += reversed(todo)
            break
        if text.startswith("--"):
            name, equals, value = text.partition("=")
            if equals:
                given.append((name, replace(word, text=value)))
            else:
                given.append((name, todo.pop() if name in long_valued and todo else None))
        elif text.startswith("-") and len(text) > 1:
            given += _letters(word, valued, todo)
        else:
            rest.append(word)
    return Options(tuple(given), tuple(rest))


def _letters(word: Word, valued: str, todo: list[Word]) -> Iterator[tuple[str, Word | None]]:
    for at, letter in enumerate(word.text[1:200], start=1):
        if letter in valued:
            behind = word.text[at + 1 :]
            yield (
                f"-{letter}",
                replace(word, text=behind) if behind else (todo.pop() if todo else None),
            )
            return
        yield f"-{letter}", None


def of(commands: Sequence[Command]) -> list[Call]:
    """Return the calls of a script; what starts another program comes before it."""
    return list(_of(commands, there=False, depth=0, through=()))


def _of(
    commands: Sequence[Command], *, there: bool, depth: int, through: tuple[str, ...]
) -> Iterator[Call]:
    fed: Word | None = None
    for command in commands:
        given = command.stdin or (fed if command.begins in ("|", "|&") else None)
        if command.words:
            base = Call("", tuple(command.words), command, there=there, through=through, fed=given)
            yield from _seen(base, depth)
        fed = _printed(command) if command.ends in ("|", "|&") else None


def _printed(command: Command) -> Word | None:
    """Return what a command certainly prints into the pipe behind it."""
    if command.name in ("echo", "printf") and len(command.words) > 1:
        word = command.words[1]
        return Word(" ".join(each.text for each in command.words[1:]), word.line, "")
    return command.stdin if command.name == "cat" and len(command.words) == 1 else None


def _seen(call: Call, depth: int) -> Iterator[Call]:
    """Yield a call whose name is its first word, then what it starts."""
    while call.words and len(call.through) < _STARTERS_AT_MOST:
        name = call.words[0].text.rpartition("/")[2]
        call = replace(call, name=name, words=call.words[1:])
        yield call
        if depth < _DEEPEST:
            yield from _texts(call, depth)
        if name not in _STARTERS or (
            name == "command" and call.words[:1] and call.words[0].text in ("-v", "-V")
        ):
            return
        valued, skipped = _STARTERS[name]
        rest = options(call.words, valued, first=True).rest[skipped:]
        while rest and name in ("env", "sudo", "doas") and "=" in rest[0].text:
            rest = rest[1:]
        call = replace(call, words=rest, through=(*call.through, name))


def _texts(call: Call, depth: int) -> Iterator[Call]:
    for word, there in _handed(call):
        found = shell.read(word.text, word.line)
        yield from _of(
            found, there=call.there or there, depth=depth + 1, through=(*call.through, call.name)
        )


def _handed(call: Call) -> Iterator[tuple[Word, bool]]:
    """Yield each text that a call hands to a shell, and whether that shell is elsewhere."""
    name, words = call.name, call.words
    if name == "ssh":
        yield from ((word, True) for word in _over_ssh(call))
    elif name in SHELLS:
        given = options(words, "cO", first=True)
        yield from ((word, False) for word in given.values("-c"))
        if call.fed is not None and not given.values("-c") and (given.has("-s") or not given.rest):
            yield call.fed, False
    elif name in ("su", "runuser"):
        given = options(words, "cgGswT", ("--command",))
        yield from ((word, False) for word in given.values("-c", "--command"))
    elif name == "eval" and words:
        yield _joined(words), False
    elif name in _IN_CONTAINERS and words and words[0].text == "exec":
        yield from ((word, True) for word in _in_a_container(words))


def _over_ssh(call: Call) -> Iterator[Word]:
    rest = options(call.words, SSH_VALUED, first=True).rest
    if len(rest) > 1:
        yield _joined(rest[1:])
    if call.fed is not None and (len(rest) == 1 or _is_shell(rest[1:])):
        yield call.fed


def _in_a_container(words: Sequence[Word]) -> Iterator[Word]:
    for number, word in enumerate(words):
        if word.text.rpartition("/")[2] in SHELLS:
            yield from options(words[number + 1 :], "c", first=True).values("-c")
            return


def _joined(words: Sequence[Word]) -> Word:
    return Word(" ".join(word.text for word in words), words[0].line, "")


def _is_shell(words: Sequence[Word]) -> bool:
    name = words[0].text.split(" ")[0].rpartition("/")[2]
    return name in SHELLS and all("-c" not in word.text.split() for word in words)


def assigned(commands: Sequence[Command]) -> Iterator[tuple[str, Word, Command]]:
    """Yield each variable with the word that gives it a value."""
    for command in commands:
        words = [*command.assigned]
        if command.name in (*_ASSIGNS, "env"):
            words += command.words[1:]
        for word in words:
            name, equals, value = word.text.partition("=")
            if equals:
                yield name.rstrip("+"), replace(word, text=value), command
