"""Each rule of lint: what it finds, and what it leaves alone."""

import re

import pytest

from scripts_admin.domain.lint import rules
from scripts_admin.domain.lint.on_disks import Surroundings
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script
from tests.ground.recipes import RECIPES

SSH = "ssh -o BatchMode=yes -o ConnectTimeout=5 user@host"
KEY = f"{'-' * 5}BEGIN OPENSSH PRIVATE KEY{'-' * 5}\n{'A' * 64}\n"
AROUND = Surroundings(
    mounts=("/", "/cpmdata", "/data"), needed=(("/cpmdata/scripts", "the scripts"),)
)


def remarks(text: str, name: str = "before_shop.sh", first: str = "#!/bin/bash\n") -> list[Remark]:
    return rules.of_script(Script(name, first + text), AROUND)


def codes(text: str, name: str = "before_shop.sh", first: str = "#!/bin/bash\n") -> list[str]:
    return [remark.code for remark in remarks(text, name, first)]


FOUND = [
    ("if [$? -gt 0[; then echo no; fi", "test-bracket"),
    ("if [ $? -gt 0[; then echo no; fi", "test-bracket"),
    ('if [ "$x" = 1]; then echo no; fi', "test-bracket"),
    ('if ["$x" = 1 ]; then echo no; fi', "test-bracket"),
    ("if [[ -n $x ]; then echo no; fi", "test-bracket"),
    ("if [[-n $x ]]; then echo no; fi", "test-bracket"),
    (f'{SSH} "if [$? -gt 0 ]; then exit 1; fi"', "test-bracket"),
    ("mysql \u2013u root < x.sql", "typographic"),
    ("sync \u2014\u2014file-system /x", "typographic"),
    ("touch \u201c/tmp/x\u201d", "typographic"),
    ("touch\u00a0/srv/x", "typographic"),
    (f'{SSH} "mysql \u2013e x"', "typographic"),
    ("mysql -u root -p<MySQL root password> -e 'show tables'", "placeholder"),
    ("when='<sql_backup_time>'", "placeholder"),
    ("ssh -o BatchMode=yes [email protected]_name.example.com true", "mangled-address"),
    ("ssh -o BatchMode=yes [email\u00a0protected]_name.example.com true", "mangled-address"),
    ("mysql -psecret -e 'select 1'", "password-argument"),
    ("mysql --password=secret -e 'select 1'", "password-argument"),
    ('mysqladmin -p"$PW" flush-logs', "password-argument"),
    ("sudo -n mysqldump -psecret shop", "password-argument"),
    (f"{SSH} \"mysql -psecret -e 'select 1'\"", "password-argument"),
    (f"{SSH} sudo -n mysql -psecret -e x", "password-argument"),
    (f"{SSH} bash -s <<END\nmysql -psecret -e x\nEND", "password-argument"),
    (f"{SSH} 'PGPASSWORD=secret psql -c x'", "password-argument"),
    ("echo \"mysql -psecret -e 'x'\" | ssh -o BatchMode=yes u@h bash", "password-argument"),
    ("sshpass -p secret scp -B a u@h:b", "password-argument"),
    ("sshpass -psecret sftp -b x u@h", "password-argument"),
    ("curl -u me:secret https://example.com", "password-argument"),
    ("curl -H 'Authorization: Bearer x' https://example.com", "password-argument"),
    ("redis-cli -a secret save", "password-argument"),
    ("valkey-cli --pass secret save", "password-argument"),
    ("mongosh --password secret --eval x", "password-argument"),
    ("pg_dump postgresql://me:secret@db/shop", "password-argument"),
    ("x=$(mysql -psecret -e x)", "password-argument"),
    ("x=`mysql -psecret -e x`", "password-argument"),
    ('timeout 5 bash -c "mysql -psecret -e x"', "password-argument"),
    ("docker exec db sh -c 'mysql -psecret -e x'", "password-argument"),
    ("PGPASSWORD=secret psql -c 'select 1'", "password-in-script"),
    ("export MYSQL_PWD=secret", "password-in-script"),
    ("set -x", "traces"),
    ("mysql -e 'flush tables with read lock'", "lock-ends-with-client"),
    ("mysql -e 'FLUSH TABLES\n  WITH READ LOCK; flush logs'", "lock-ends-with-client"),
    ("mariadb <<END\nflush tables with read lock;\nEND", "lock-ends-with-client"),
    ("mysql <<<'flush tables with read lock'", "lock-ends-with-client"),
    ("echo 'flush tables with read lock' | mysql", "lock-ends-with-client"),
    ("mariadb -e 'BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT'", "lock-ends-with-client"),
    (f"{SSH} \"mysql -e 'flush tables with read lock'\"", "lock-ends-with-client"),
    ("psql -c \"select pg_backup_start('x')\"", "lock-ends-with-client"),
    ("psql -c 'begin; lock table shop'", "lock-ends-with-client"),
    ("mysql -e 'unlock tables'", "unlocks-nothing"),
    ("psql -c \"select pg_start_backup('x', true)\"", "old-backup-mode"),
    ("fsfreeze -f /", "frozen-disk"),
    ("xfs_freeze -f /cpmdata", "frozen-disk"),
    ("sudo -n fsfreeze --freeze /cpmdata/db", "frozen-disk"),
    (f"{SSH} 'sudo -n fsfreeze -f /'", "frozen-disk"),
    ("fsfreeze -f /data\necho frozen > /data/log", "frozen-output"),
    (f"{SSH} 'fsfreeze -f /data; date >> /data/when'", "frozen-output"),
    ("ssh user@host true", "ssh-batch-mode"),
    ("scp a user@host:b", "ssh-batch-mode"),
    ("rsync -a x user@host:y", "ssh-batch-mode"),
    ("ssh -o BatchMode=yes -o StrictHostKeyChecking=no u@h true", "ssh-host-key"),
    ("ssh -o BatchMode=yes -oStrictHostKeyChecking=off u@h true", "ssh-host-key"),
    ("ssh -o BatchMode=yes -o 'StrictHostKeyChecking accept-new' u@h true", "ssh-host-key"),
    ("scp -o BatchMode=yes -o UserKnownHostsFile=/dev/null a u@h:b", "ssh-host-key"),
    ("rsync -e 'ssh -o BatchMode=yes -o StrictHostKeyChecking=no' a u@h:b", "ssh-host-key"),
    ("ssh -o BatchMode=yes u@h true", "ssh-timeout"),
    (f"{SSH.replace('ssh', 'ssh -t')} true", "needs-terminal"),
    ("docker exec -it db true", "needs-terminal"),
    (f"while read -r host; do {SSH} true; done < hosts", "ssh-eats-input"),
    (f"{SSH} 'sleep 60 &'", "background-output"),
    ("read -r answer", "prompt"),
    ("apt-get install mariadb-client", "prompt"),
    ("sudo systemctl reload shop", "prompt"),
    ("mysql -u root -p -e 'show tables'", "prompt"),
    ("passwd root", "prompt"),
    ("sleep 5", "sleep"),
    ("sleep 1m", "sleep"),
    (f"{SSH} 'fsfreeze -f /data'\necho done", "exit-code-lost"),
    ("fsfreeze -f /data || true\nsync", "exit-code-lost"),
    ("psql -c checkpoint | tee /var/log/x", "exit-code-lost"),
    ('if [ "$1" = 1 ]; then sync; fi', "no-argument"),
    ("trap 'fsfreeze -u /data' EXIT\nfsfreeze -f /data", "trap-thaws"),
    ("date > /tmp/when", "temporary-name"),
]


@pytest.mark.parametrize(("text", "code"), FOUND)
def test_a_fault_is_found_and_told_in_one_sentence_without_its_secret(text: str, code: str) -> None:
    found = [remark for remark in remarks(text) if remark.code == code]

    assert found, codes(text)
    for remark in found:
        assert remark.file == "before_shop.sh"
        assert 1 < remark.line <= 2 + text.count("\n")
    for remark in remarks(text):
        assert remark.text.endswith(".")
        assert not re.search(r"[a-z]\. [A-Z]", remark.text)
        assert "before_shop.sh" in remark.text
        assert "secret" not in remark.text


@pytest.mark.parametrize(
    "text",
    [
        "if [ $? -gt 0 ]; then exit 1; fi\nif [[ $x == [a-z]* ]]; then exit 1; fi",
        'case "$x" in [Yy]*) true ;; [0-9]) false ;; esac',
        'x=(a [b] c)\nfor f in [a-z]*.log; do rm -f "$f"; done',
        "# mysql -psecret -e 'flush tables with read lock' \u2013 if [$? -gt 0[",
        'echo "\u201cfrozen\u201d \u2013 mysql -psecret is what you must not write"',
        "cat <<END >/dev/null\nif [$? -gt 0[\nmysql -psecret \u2013p\nEND",
        "cat <in_file >/dev/null\nsort <a >b",
        "mysql --defaults-extra-file=my.cnf -e 'flush tables with read lock; select sleep(60)' &",
        "mysql -P 3306 -e 'show tables'",
        "psql -p 5432 -c checkpoint",
        "ssh -p 22 -o BatchMode=yes -o ConnectTimeout=5 u@h true",
        f"{SSH} 'sleep 60 </dev/null >/dev/null 2>&1 &'",
        f"{SSH} true || exit 1\necho done",
        f"set -e\n{SSH} true\necho done",
        f"{SSH} true\nif [ $? -gt 0 ]; then exit 1; fi\necho done",
        'ssh "${options[@]}" "$host" true',
        "ssh -F config host true",
        "for _ in {1..50}; do sleep 0.1; done\nwhile sleep 1; do true; done",
        "fsfreeze -f /data || exit 1\necho frozen > /srv/log",
        f"{SSH} 'sudo -n fsfreeze -f /data'",
        'read -r word < file\necho a | while read -r b; do echo "$b"; done',
        "apt-get install -y x\nsudo -n true\ncommand -v sudo",
        "rsync -a /a /b",
        "redis-cli -h db -p 6379 client pause 1000",
        "PGPASSFILE=x psql -c checkpoint",
        "trap 'fsfreeze -u /data' EXIT\nfsfreeze -f /data\ntrap - EXIT",
        "x=$((1 << 2))\ny=${x:-'('}\necho \"${y}\" $'it\\'s'",
    ],
)
def test_good_text_gets_no_remark(text: str) -> None:
    assert codes(text) == []


def test_after_has_rules_of_its_own() -> None:
    name = "after_shop.sh"

    assert codes("set -e\nwrite_log\nfsfreeze -u /data || true", name) == ["thaw-behind-failure"]
    assert codes("write_log && fsfreeze -u /data || true", name) == ["thaw-behind-failure"]
    assert codes("fsfreeze -u /data", name) == ["runs-once"]
    assert codes("set -e\nrm /srv/maintenance\ntrue", name) == ["runs-once"]
    assert codes("rm -f /srv/maintenance", name) == []
    gives_up = 'if [ "$1" -eq 0 ]; then\necho bad\nexit 1\nfi\nfsfreeze -u /data || true'
    assert codes(gives_up, name) == ["after-gives-up"]
    assert codes(gives_up.replace("exit 1\n", ""), name) == []


def test_complete_must_ask_for_its_argument_before_it_deletes() -> None:
    purge = "mysql -e 'purge binary logs before now()'"

    assert codes(purge, "complete_shop.sh") == ["truncates-always"]
    assert codes(f'[ "$1" = 1 ] && {purge}', "complete_shop.sh") == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        ("echo frozen\n", "no-shebang"),
        ("\ufeff#!/bin/bash\ntrue\n", "bom"),
        ("#!/bin/bash\r\ntrue\r\n", "crlf"),
        ("#!/bin/bash\ntrue\r\n", "crlf"),
        (f"#!/bin/bash\n{KEY}", "private-key"),
    ],
)
def test_what_is_wrong_with_the_file_itself(text: str, code: str) -> None:
    assert codes(text, first="") == [code]


def test_python_and_perl_get_the_rules_of_every_language() -> None:
    python = "import os\nos.system(\"mysql -psecret -e 'x'\")\n"
    perl = "system('ssh -o BatchMode=yes -o StrictHostKeyChecking=no u@h true');\n"

    assert codes(python, "before_shop.py", "#!/usr/bin/env python3\n") == ["password-argument"]
    assert codes(perl, "before_shop.pl", "#!/usr/bin/perl -w\n") == ["ssh-host-key", "ssh-timeout"]
    assert codes(
        'subprocess.run(["mysql", "\u2013p"])\n', "before_shop.py", "#!/usr/bin/python3\n"
    ) == ["typographic"]
    assert codes("if [$? -gt 0[\nsleep 5\n", "before_shop.py", "#!/usr/bin/python3\n") == []


def test_a_private_key_is_read_no_further() -> None:
    key = f"{KEY}mysql -psecret\n"

    assert remarks(key, "mysshkey.pem", "") == []
    assert codes(f"cat <<END > k\n{key}END\nmysql -psecret -e x\n") == ["private-key"]


def test_every_recipe_passes_without_a_remark() -> None:
    # Those for instances are no scripts yet: what they are made of is put into them, and linted, elsewhere.
    files = [
        path
        for path in RECIPES.rglob("*")
        if path.is_file() and path.suffix != ".md" and "@" not in path.name
    ]
    assert len(files) > 20

    found = [r for path in files for r in rules.of_script(Script(path.name, path.read_text()))]

    assert [remark for remark in found if remark.level != Level.ADVICE] == []


HOSTILE = {
    "lines": "echo a b c | cat > /tmp/x\n" * 100_000,
    "one line": "a" * 3_000_000,
    "sums": "((" * 60_000,
    "substitutions": "$(" * 60_000,
    "quoted substitutions": '"$(' * 40_000,
    "backticks": "`\\`\\\\\\`" * 20_001,
    "quotes": "'a\"" * 50_000,
    "braces": "${" * 60_000,
    "documents": "cat <<A\n" * 20_000,
    "cases": "case x in " + "a) b;; " * 20_000,
    "arrays": "a=(" * 40_000,
    "parentheses": "(" * 120_000,
    "sudo": "sudo " * 25_000,
    "eval": "eval 'eval x' " * 9_000,
    "nested ssh": "ssh h \"ssh h 'ssh h " * 6_000,
    "placeholders": "<a_" * 40_000,
    "locks": "mysql -e '" + "flush tables " * 9_000 + "'",
    "addresses": "x " + "a://b:" * 20_000,
    "dashes": "mysql -" + "p" * 100_000,
    "brackets": "[" * 100_000,
    "tests": "[[ a " * 25_000,
    "freezes": "fsfreeze -f /data\necho >/data/x\n" * 4_000,
    "ssh": "ssh h true\n" * 10_000 + "echo done",
    "loops": "while read x; do " * 7_000,
    "tabs and dashes": "\t\u2013" * 50_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_takes_a_time_that_grows_with_its_length_only(text: str) -> None:
    """Whatever grew faster than the text would not end before the suite's own limit."""
    found = rules.of_script(Script("before_shop.sh", f"#!/bin/bash\n{text}"), AROUND)

    assert len(found) <= rules.AT_MOST
