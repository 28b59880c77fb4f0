"""A set of scripts for MySQL with the faults that such sets are published with, and what lint's advice makes of it.

Each mend answers one remark of lint. `mended` makes those that lint asks for, until it asks for nothing more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scripts_admin.domain.lint.remarks import Level, Remark

BEFORE, AFTER, COMPLETE = "before_shop.bash", "after_shop.bash", "complete_shop.bash"
INNER = "purge_inner"
ADDRESS = "[email protected]_name.example.com"
ROUNDS_AT_MOST = 20

FAULTY: Mapping[str, str] = {
    BEFORE: f"""#!/bin/bash
ssh -i @KEY@ {ADDRESS} "mysql -u root \u2013p<password of root> -e 'flush tables with read lock; flush logs;'
if [$? -gt 0[; then
echo "the freeze failed" 1>&2
exit 1
else
echo "frozen" 1>&2
fi
""",
    AFTER: f"""#!/bin/bash
if [ $1 -eq 0 ]; then
echo "before did not work" 1>&2
fi
ssh -i @KEY@ {ADDRESS} "date +'%F %T' > @WHEN@; mysql -u root -p<password of root> -e 'unlock tables;'"
if [ $? -gt 0 ]; then
echo "the thaw failed" 1>&2
exit 1
else
echo "thawed" 1>&2
fi
""",
    COMPLETE: f"""#!/bin/bash
if [ $1 -eq 1]; then
cat @FOLDER@/{INNER} |ssh -i @KEY@ {ADDRESS} "cat > /tmp/purge; chmod 755 /tmp/purge; /tmp/purge"
if [ $? -gt 0 ]; then
echo "the logs could not be purged" 1>&2
exit 1
else
echo "purged" 1>&2
fi
else
echo "the backup is not whole: nothing is purged" 1>&2
fi
""",
    INNER: """when='<time_of_backup>'
mysql -u root -p<password of root> -e 'PURGE BINARY LOGS BEFORE "'"$when"'"
""",
}

Mend = tuple[str, str]  # what is replaced, and by what
_ADDRESS: Mend = (ADDRESS, "@OPTIONS@ @HOST@")
_PASSWORD: Mend = ("-p<password of root>", "-ptold-aloud")
_OPTION_FILE: Mend = ("mysql -u root -ptold-aloud", "@CLIENT@ --defaults-extra-file=@OPTION_FILE@")
_BATCH: Mend = ("ssh -i", "ssh -o BatchMode=yes -i")
_TIMEOUT: Mend = ("ssh -o BatchMode=yes", "ssh -o BatchMode=yes -o ConnectTimeout=5")
_QUOTED: Mend = ("[ $1 ", '[ "${1:-0}" ')
_CLIENT = "@CLIENT@ --defaults-extra-file=@OPTION_FILE@"

# The client stays connected until after ends it, and before waits until it says that it has the lock.
_HELD = "select id from information_schema.processlist where state = 'User sleep'"
_HOLD = f"""bash -s" <<'END'
setsid {_CLIENT} -e 'flush tables with read lock; flush logs; select sleep(60);' </dev/null >/dev/null 2>&1 &
for _ in {{1..100}}; do
  {_CLIENT} -N -e "{_HELD}" > @HELD@ || exit 1
  [ -s @HELD@ ] && exit 0
  sleep 0.1
done
exit 1
END"""
_RELEASE = f"""bash -s" <<'END'
read -r held < @HELD@ || exit 0
date +'%F %T' > @WHEN@
{_CLIENT} -e "kill $held" || exit 1
rm -f @HELD@
END"""

MENDS: Mapping[tuple[str, str], Mend] = {
    (BEFORE, "mangled-address"): _ADDRESS,
    (BEFORE, "typographic"): ("\u2013p", "-p"),
    (BEFORE, "placeholder"): _PASSWORD,
    (BEFORE, "password-argument"): _OPTION_FILE,
    (BEFORE, "syntax"): ("flush logs;'\n", "flush logs;'\"\n"),
    (BEFORE, "test-bracket"): ("[$? -gt 0[", "[ $? -gt 0 ]"),
    (BEFORE, "ssh-batch-mode"): _BATCH,
    (BEFORE, "ssh-timeout"): _TIMEOUT,
    (BEFORE, "lock-ends-with-client"): (
        f"{_CLIENT} -e 'flush tables with read lock; flush logs;'\"",
        _HOLD,
    ),
    (AFTER, "mangled-address"): _ADDRESS,
    (AFTER, "placeholder"): _PASSWORD,
    (AFTER, "password-argument"): _OPTION_FILE,
    (AFTER, "ssh-batch-mode"): _BATCH,
    (AFTER, "ssh-timeout"): _TIMEOUT,
    (AFTER, "SC2086"): _QUOTED,
    (AFTER, "unlocks-nothing"): (
        f"date +'%F %T' > @WHEN@; {_CLIENT} -e 'unlock tables;'\"",
        _RELEASE,
    ),
    (COMPLETE, "test-bracket"): ("-eq 1]", "-eq 1 ]"),
    (COMPLETE, "mangled-address"): _ADDRESS,
    (COMPLETE, "ssh-batch-mode"): _BATCH,
    (COMPLETE, "ssh-timeout"): _TIMEOUT,
    (COMPLETE, "SC2086"): _QUOTED,
    (COMPLETE, "temporary-name"): ("cat > /tmp/purge; chmod 755 /tmp/purge; /tmp/purge", "bash -s"),
    (INNER, "placeholder"): ("'<time_of_backup>'", "$(cat @WHEN@)"),
    (INNER, "password-argument"): _OPTION_FILE,
    (INNER, "syntax"): (
        """'PURGE BINARY LOGS BEFORE "'"$when"'"\n""",
        """"PURGE BINARY LOGS BEFORE '$when'"\n""",
    ),
}


# What the marks stand for; a test with real servers has others.
PLACES: Mapping[str, str] = {
    "@KEY@": "/cpmdata/scripts/key.pem",
    "@OPTIONS@": "-p 22",
    "@HOST@": "root@db.example.com",
    "@FOLDER@": "/cpmdata/scripts",
    "@CLIENT@": "mariadb",
    "@OPTION_FILE@": "/srv/backup/backup.cnf",
    "@WHEN@": "/srv/backup/when",
    "@HELD@": "/srv/backup/held",
}


@dataclass
class Told:
    """What lint said on the way, and the texts at the end."""

    codes: set[tuple[str, str]] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)


def filled(text: str, places: Mapping[str, str]) -> str:
    """Put the places where their marks stand."""
    for mark, place in places.items():
        text = text.replace(mark, place)
    return text


def mended(lint: Callable[[str, str], list[Remark]], places: Mapping[str, str] = PLACES) -> Told:
    """Follow lint's advice until it has none that matters; AssertionError if it does not come to an end."""
    told = Told(texts={name: filled(text, places) for name, text in FAULTY.items()})
    for _ in range(ROUNDS_AT_MOST):
        asked = {(name, r.code) for name, text in told.texts.items() for r in lint(name, text)}
        told.codes |= asked
        done = [_mend(told, name, code, places) for name, code in sorted(asked)]
        if not any(done):
            break
    left = [r for name, text in told.texts.items() for r in lint(name, text)]
    assert [r for r in left if r.level != Level.ADVICE] == []
    return told


def _mend(told: Told, name: str, code: str, places: Mapping[str, str]) -> bool:
    old, new = (filled(each, places) for each in MENDS.get((name, code), ("", "")))
    before = told.texts[name]
    if old:
        told.texts[name] = before.replace(old, new)
    if (name, code) == (INNER, "placeholder"):  # two of them: the time and the password
        told.texts[name] = told.texts[name].replace(*_PASSWORD)
    return told.texts[name] != before
