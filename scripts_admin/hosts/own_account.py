"""The `.ssh` of an account of an owner's own: our part of it is written as that account, and theirs stays.

Root writes nothing in a home that somebody else could fill with links: a small shell that has become the account
does, and gets what is secret by its standard input.
"""

import re
from collections.abc import Callable, Mapping

from scripts_admin.guard.spool import RunAs
from scripts_admin.hosts import as_account
from scripts_admin.linux_accounts import AccountError

KEY_PREFIX = "n2wbackup_id_"
BEGIN = "# BEGIN n2wbackup: written from its pages Keys and Hosts, changes here are lost"
END = "# END n2wbackup"
_BLOCK = re.compile(r"^# BEGIN n2wbackup.*?^# END n2wbackup\n?", re.MULTILINE | re.DOTALL)
_TEXT = re.compile(rb"^text\n", re.MULTILINE)
_SECONDS = 10
_LONGEST_BYTES = 1_000_000
_FILES = ("config", "known_hosts")

_READ = r"""
cd "$1/.ssh" 2>/dev/null || exit 0
for name in *; do [ ! -f "$name" ] || printf 'name %s\n' "$name"; done
[ ! -f "$2" ] || { echo 'text'; head -c "$3" <"$2"; }
"""
_WRITE = r"""
umask 077
cd "$1" || exit
[ -d .ssh ] || mkdir .ssh || exit
cd .ssh || exit
shift
kept=' '
while [ $# -gt 0 ]; do
    kept="$kept$1 "
    head -c "$2" >".n2w.$$" || exit
    if cmp -s ".n2w.$$" "$1"; then rm -f ".n2w.$$"; else mv -f ".n2w.$$" "$1" || exit; fi
    [ "${1#n2wbackup_id_}" = "$1" ] || chmod 600 "$1" || exit
    shift 2
done
for name in n2wbackup_id_*; do
    case $kept in *" $name "*) ;; *) rm -f -- "$name" || exit ;; esac
done
"""


def follow(
    home: str,
    identity: RunAs | None,
    *,
    config: Callable[[set[str]], str],
    known_hosts: str,
    keys: Mapping[str, bytes],
) -> None:
    """Write our block of `config` and `known_hosts`, and the keys. Nothing is made for who has neither.

    `config` gets the names of the files in `.ssh`. AccountError if the account cannot do it, e.g. has no home.
    """
    texts = {}
    names: set[str] = set()
    for name in _FILES:
        names, texts[name] = _read(home, identity, name)
    is_wanted = bool(known_hosts or keys)
    blocks = {"config": config(names) if is_wanted else "", "known_hosts": known_hosts}
    ours = {name for name in names if name.startswith(KEY_PREFIX)}
    if not is_wanted and not ours and not any(_BLOCK.search(text) for text in texts.values()):
        return
    files = {name: _with(texts[name], blocks[name]) for name in _FILES}
    _write(home, identity, {**{n: _bytes(text) for n, text in files.items()}, **keys})


def forget(home: str, identity: RunAs | None) -> None:
    """Remove our part from the account's `.ssh`."""
    follow(home, identity, config=lambda _: "", known_hosts="", keys={})


def _with(text: str, block: str) -> str:
    """Return the text with our block on top, where it counts before what follows; the rest stays as it is."""
    rest = _BLOCK.sub("", text)
    return f"{BEGIN}\n{block}{END}\n{rest}" if block else rest


def _read(home: str, identity: RunAs | None, name: str) -> tuple[set[str], str]:
    told = _run(_READ, identity, home, name, str(_LONGEST_BYTES + 1))
    if len(told) > _LONGEST_BYTES + 100_000:
        raise AccountError(f"{home}/.ssh/{name} is too long to be kept: shorten it.")
    head, *text = _TEXT.split(told, maxsplit=1)
    names = {line.removeprefix("name ") for line in _text(head).splitlines()}
    return names, _text(text[0] if text else b"")


def _write(home: str, identity: RunAs | None, files: Mapping[str, bytes]) -> None:
    sizes = [word for name, content in files.items() for word in (name, str(len(content)))]
    _run(_WRITE, identity, home, *sizes, sent=b"".join(files.values()))


def _run(program: str, identity: RunAs | None, home: str, *words: str, sent: bytes = b"") -> bytes:
    code, told, errors = as_account.run(program, identity, (home, *words), sent, _SECONDS)
    if code:
        why = _text(errors).strip()[-300:] or f"exit code {code}"
        raise AccountError(
            f"The SSH keys and hosts could not be written to {home}/.ssh ({why}): correct what is there."
        )
    return told


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
