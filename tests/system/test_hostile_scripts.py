"""A tenant's hostile scripts, in owner mode, with a server that is not root: they get nothing and hold nobody up."""

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from n2wbackup.demo.aws import VolumeSpec
from tests.ground import launcher, processes
from tests.ground.bomb import BOMB
from tests.ground.launcher import SHARED, Place
from tests.system import launched
from tests.system import product as products
from tests.system.product import OWNER, Product

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(60)]
NEIGHBOUR = "bob1"
SECRET = "the-neighbours-secret"

# Each line that says GOT is something that the script must not have.
ATTACK = r"""
try() { local what=$1; shift; "$@" >/dev/null 2>&1 </dev/null && echo "GOT $what"; }
try "the neighbour's folder" ls {scripts}/{neighbour}
try "the neighbour's script" cat {scripts}/{neighbour}/before_p2.sh
try "a place in the neighbour's folder" touch {scripts}/{neighbour}/mine
try "the neighbour's home" ls {neighbours_home}
try "the neighbour's keys" cat {neighbours_home}/.ssh/id_ed25519
try "the list of all folders" ls {scripts}
try "the database" cat {home}/db.sqlite3
try "the home" ls {home}
try "the secrets" ls {home}/secrets
try "the keys" cat {home}/secrets/n2w-encryption-keys
try "the spool" ls {home}/spool
try "its own record" cat {home}/spool/$N2W_RUN_ID/record.json
try "its own copy" cat {home}/spool/$N2W_RUN_ID/after
try "the memory" ls {memory}
try "what launchers keep" ls /run/n2wbackup-run
try "what launchers keep in memory" ls /dev/shm/n2wbackup-run
try "the list of accounts, to write" sh -c 'echo >>/etc/n2wbackup/accounts'
try "the launcher, to write" sh -c 'echo >>/usr/local/libexec/n2wbackup-run'
try "the rules of sudo" cat /etc/sudoers.d/n2wbackup
try "sudo" sudo -n true
try "sudo of the launcher" sudo -n /usr/local/libexec/n2wbackup-run
try "sudo of the launcher with words" sudo -n /usr/local/libexec/n2wbackup-run -u root sh
try "leave to start the launcher" sudo -n -l /usr/local/libexec/n2wbackup-run
try "the neighbour's account" sudo -n -u {neighbour} id
try "another cgroup" sh -c 'echo $$ >/sys/fs/cgroup/unified/cgroup.procs || echo $$ >/sys/fs/cgroup/cgroup.procs'
for each in $(find /tmp /var/tmp /dev/shm -user {server} -readable ! -type l 2>/dev/null | grep -v checkout); do
    [ -f $each ] && echo "GOT the server's file $each"
done
python3 - <<'EOF'
import ctypes, os, socket, subprocess
libc, own = ctypes.CDLL(None), os.getuid()
def got(what): print("GOT", what, flush=True)
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    try:
        if os.stat(f"/proc/{{pid}}").st_uid == own: continue
    except OSError: continue
    for name in ("environ", "mem", "maps"):
        try:
            if open(f"/proc/{{pid}}/{{name}}", "rb").read(1): got(f"{{name}} of {{pid}}")
        except OSError: pass
    for name in ("fd", "cwd", "root"):
        try: os.listdir(f"/proc/{{pid}}/{{name}}"); got(f"{{name}} of {{pid}}")
        except OSError: pass
    try: os.kill(pid, 0); got(f"a signal to {{pid}}")
    except OSError: pass
    if libc.ptrace(16, pid, 0, 0) == 0: got(f"a trace of {{pid}}")
for folder, _, names in os.walk("/dev/shm"):
    for name in names:
        try: socket.socket(socket.AF_UNIX).connect(os.path.join(folder, name)); got(f"the socket {{name}}")
        except OSError: pass
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
ours.send(b'{{"do": "hello"}}')
subprocess.run(["/usr/local/libexec/n2wbackup-run"], stdin=theirs, env={{"SUDO_UID": "{server_uid}"}})
if b"refused" not in ours.recv(65536): got("the launcher itself")
try: kept = bytearray(1 << 31); got("2 GiB of memory")
except MemoryError: pass
EOF
dd if=/dev/zero of=/dev/shm/filled-by-{owner} bs=1M count=200 2>/dev/null
[ $(stat -c %s /dev/shm/filled-by-{owner}) -gt 20000000 ] && echo "GOT the memory of the machine"
rm -f /dev/shm/filled-by-{owner}
echo tried
"""
# What they leave behind: a process that left the group and minds no signal, and a bomb, which leaves no room.
LEFT = f"""( exec >/dev/null 2>&1; trap "" TERM HUP INT; exec setsid sleep 600 ) &
{BOMB}"""
LIMITS = {"processes": "60", "memory": "1000000000", "files": "256", "file_size": "10000000"}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with launcher.installed(OWNER, NEIGHBOUR, SHARED) as found:
        found.lines[OWNER] |= LIMITS
        found.write_list()
        yield found


@pytest.fixture(scope="module")
def product(place: Place) -> Iterator[Product]:
    with (
        processes.folder() as folder,
        processes.folder("n2wbackup-hostile-", Path("/dev/shm")) as beside,
    ):
        folder.chmod(0o755)
        more = {"N2W_RUN_SCRIPTS_AS": "owner", "N2W_SCRIPT_USER": SHARED}
        with products.serving(
            folder / "home", beside, more=more, prepare=launched.settle(place)
        ) as found:
            _add_neighbour(found, place)
            yield found


def _account(place: Place, name: str) -> pwd.struct_passwd:
    return next(each for each in place.accounts if each.pw_name == name)


def _folder(product: Product, place: Place, name: str) -> Path:
    """Give the user's folder to the user's account, and let the server in."""
    folder, account = product.home / "scripts" / name, _account(place, name)
    folder.mkdir(exist_ok=True)
    for path in (folder, *folder.iterdir()):
        os.chown(path, account.pw_uid, place.server.pw_gid)
        path.chmod(0o770)
    return folder


def _add_neighbour(product: Product, place: Place) -> None:
    """Make another tenant with a policy of an instance, and a key."""
    made = product.aws.add_instance(volumes=[VolumeSpec()])
    document = {
        "users": [{"name": NEIGHBOUR, "email": "b@example.org", "password_env": "ALICE_PASSWORD"}],
        "accounts": [{"owner": NEIGHBOUR, "name": "lab", "region": "us-east-1", **product.account}],
        "policies": [
            {
                "owner": NEIGHBOUR,
                "name": "p2",
                "account": "lab",
                "targets": [{"instance": made.instance_id, "region": "us-east-1"}],
            }
        ],
    }
    path = product.marks_file.parent / "neighbour.yaml"
    path.write_text(json.dumps(document))
    product.succeed("apply", str(path))
    path.unlink()
    folder = _folder(product, place, NEIGHBOUR)
    for phase in ("before", "after"):
        script = folder / f"{phase}_p2.sh"
        script.write_text(f"#!/bin/bash\nid -un # {SECRET}\n")
    _folder(product, place, NEIGHBOUR)
    account = _account(place, NEIGHBOUR)
    key = Path(account.pw_dir) / ".ssh" / "id_ed25519"
    key.parent.mkdir(mode=0o700)
    key.write_text(SECRET)
    for each in (key.parent, key):
        os.chown(each, account.pw_uid, account.pw_gid)


def _scripts(product: Product, place: Place, **bodies: str) -> None:
    folder = _folder(product, place, OWNER)
    for phase in ("before", "after", "complete"):
        body = bodies.get(phase, "id -un")
        (folder / f"{phase}_p1.sh").write_text(f"#!/bin/bash\n{body}\n")
    _folder(product, place, OWNER)


def _apply(product: Product, **seconds: int) -> None:
    """Set the timeouts of the hostile policy, and give it an instance that may be fired at once."""
    made = product.aws.add_instance(volumes=[VolumeSpec()])
    timeouts = {"before": 30, "after": 30, "complete": 30} | seconds
    product.apply([made.instance_id], scripts={"timeout_seconds": timeouts})


def test_a_hostile_script_gets_nothing(product: Product, place: Place) -> None:
    attack = ATTACK.replace("{{", "{").replace("}}", "}")
    for name, value in {
        "owner": OWNER,
        "neighbour": NEIGHBOUR,
        "neighbours_home": _account(place, NEIGHBOUR).pw_dir,
        "scripts": str(product.home / "scripts"),
        "home": str(product.home),
        "memory": str(product.memory),
        "server": str(place.server.pw_uid),
        "server_uid": str(place.server.pw_uid),
    }.items():
        attack = attack.replace(f"{{{name}}}", value)
    # complete has the most time; the account and its rights are those of every phase.
    _scripts(product, place, complete=attack)
    _apply(product, complete=300)

    run = product.wait_for_end(product.start_run(), seconds=400)

    complete = run["phases"]["complete"]
    assert [line for line in complete["stdout"].splitlines() if line != "tried"] == []
    assert complete["stdout"].endswith("tried\n"), complete
    assert (run["state"], run["consistency"]) == ("succeeded", "application"), run


def test_what_a_hostile_before_leaves_holds_up_no_window(product: Product, place: Place) -> None:
    _scripts(product, place, before=LEFT)
    _apply(product)

    hostile = product.wait_for_end(product.start_run())
    neighbours = _backed_up(product, f"{NEIGHBOUR}/p2")

    after = hostile["phases"]["after"]
    assert (after["outcome"], after["stdout"]) == ("succeeded", f"{OWNER}\n"), hostile
    assert hostile["freeze_seconds"] < 60
    assert (neighbours["state"], neighbours["consistency"]) == ("succeeded", "application")
    assert neighbours["phases"]["before"]["stdout"] == f"{NEIGHBOUR}\n"
    assert not product.query("SELECT 1 FROM policies_policy WHERE may_be_frozen_since IS NOT NULL")
    uid = _account(place, OWNER).pw_uid
    assert launcher.alive(uid), "the bomb went off by itself"
    launcher.end_processes(uid)


def _backed_up(product: Product, label: str) -> dict[str, Any]:
    """Back up while the bomb still goes off."""
    run = product.succeed("run_policy", label).split()[-1]
    return product.wait_for_end(run)


def test_a_before_that_does_not_end_is_ended_with_its_bomb(product: Product, place: Place) -> None:
    _scripts(product, place, before=f"trap '' TERM\n{LEFT}\nwait")
    _apply(product, before=2)

    hostile = product.wait_for_end(product.start_run())

    assert hostile["phases"]["before"]["outcome"] == "timed_out", hostile
    assert hostile["phases"]["after"]["outcome"] == "succeeded", hostile
    assert hostile["freeze_seconds"] < 60
    assert launcher.alive(_account(place, OWNER).pw_uid) == []
