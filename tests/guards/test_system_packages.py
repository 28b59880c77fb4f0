"""tools/system-packages.sh on a fake machine: every program that it calls is a stand-in."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guards import tree

SCRIPT = tree.ROOT / "tools" / "system-packages.sh"
POLICY = "usr/sbin/policy-rc.d"
REAL_PROGRAMS = [
    *("bash", "cat", "chmod", "dirname", "env", "flock", "grep", "mkdir", "mv", "realpath"),
    *("rm", "sleep", "touch"),
]


@dataclass(frozen=True)
class Machine:
    """A folder that plays a machine: its packages, its policy for services, its apt."""

    root: Path

    def installed(self) -> Path:
        """The list of installed packages, one per line."""
        return self.root / "installed"

    def apt_was_told(self) -> list[str]:
        """Each call of apt-get, without the options that all calls share."""
        log = self.root / "apt.log"
        return log.read_text().splitlines() if log.exists() else []

    def policy_during_the_installation(self) -> str:
        """The text of policy-rc.d as a package's own scripts found it."""
        return (self.root / "policy.seen").read_text()

    def program(self, name: str, *lines: str) -> None:
        """Put a stand-in on the PATH."""
        path = self.root / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text("\n".join(["#!/bin/bash", f"root={self.root}", *lines, ""]))
        path.chmod(0o755)

    def run(self, *, ci: bool = False) -> subprocess.CompletedProcess[str]:
        """The script, in this machine."""
        environment = {
            "PATH": str(self.root / "bin"),
            "SYSTEM_ROOT": str(self.root),
            "CI": str(ci).lower(),
        }
        return subprocess.run(
            [SCRIPT], env=environment, capture_output=True, text=True, check=False, timeout=120
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine of root with a working apt, on which only xfsprogs and postgresql are missing."""
    machine = Machine(tmp_path)
    (tmp_path / "bin").mkdir()
    for name in REAL_PROGRAMS:
        found = next(
            path
            for folder in ("/usr/bin", "/bin")
            if os.access(path := Path(folder) / name, os.X_OK)
        )
        (tmp_path / "bin" / name).symlink_to(found)
    machine.program("id", "echo 0")
    machine.program("dpkg-query", 'grep -qx "${!#}" $root/installed && printf installed')
    machine.program(
        "apt-get",
        'while [[ "$1" == -* ]]; do [[ "$1" == -o ]] && shift; shift; done',
        'echo "$*" >>$root/apt.log',
        f"[[ $1 == install ]] || exit 0; cat $root/{POLICY} >$root/policy.seen",
        "cat $root/etc/postgresql-common/createcluster.d/* >$root/cluster.seen",
        "[[ -e $root/broken ]] && exit 100",
        'shift; printf "%s\\n" "$@" >>$root/installed',
    )
    machine.installed().write_text(
        "mariadb-server\nopenssh-server\nopenssh-client\ne2fsprogs\nutil-linux\nlibfaketime\nsudo\n"
        "redis-server\nchromium\npgbouncer\nbusybox\nzsh\nacl\nnftables\nsystemd\n"
        "nbdkit\nnbdkit-plugin-python\nlibnbd-bin\nfuse3\n"
    )
    return machine


def test_only_what_is_missing_is_installed_and_the_lists_are_not_fetched(machine: Machine) -> None:
    result = machine.run(ci=True)

    assert result.returncode == 0, result.stderr
    assert machine.apt_was_told() == ["install --yes --no-install-recommends xfsprogs postgresql"]


def test_apt_is_not_called_when_nothing_is_missing(machine: Machine) -> None:
    machine.run()
    before = machine.apt_was_told()

    result = machine.run(ci=True)

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert machine.apt_was_told() == before


def test_nothing_starts_while_packages_are_installed_and_no_cluster_is_made(
    machine: Machine,
) -> None:
    machine.run()

    assert "exit 101" in machine.policy_during_the_installation()
    assert (machine.root / "cluster.seen").read_text() == "create_main_cluster = false\n"
    assert not (machine.root / POLICY).exists()
    assert list((machine.root / "etc/postgresql-common/createcluster.d").iterdir()) == []


@pytest.mark.parametrize("apt_is_broken", [False, True])
def test_the_machines_own_policy_is_back_afterwards(
    machine: Machine, *, apt_is_broken: bool
) -> None:
    policy = machine.root / POLICY
    policy.parent.mkdir(parents=True)
    policy.write_text("#!/bin/sh\n# the machine's own\nexit 0\n")
    if apt_is_broken:
        (machine.root / "broken").touch()

    machine.run()

    assert "exit 101" in machine.policy_during_the_installation()
    assert "the machine's own" in policy.read_text()
    assert [path.name for path in policy.parent.iterdir()] == ["policy-rc.d"]


def test_a_killed_run_is_put_right_by_the_next(machine: Machine) -> None:
    policy = machine.root / POLICY
    policy.parent.mkdir(parents=True)
    policy.write_text("# the machine's own\n")
    working_apt = (machine.root / "bin" / "apt-get").read_text()
    machine.program("apt-get", "kill -KILL $PPID")
    machine.run()
    assert "the machine's own" not in policy.read_text(), "the kill came too late to show anything"

    machine.program("apt-get", working_apt)
    result = machine.run(ci=True)

    assert result.returncode == 0, result.stderr
    assert policy.read_text() == "# the machine's own\n"


def test_a_signal_waits_for_apt_so_that_nothing_starts_meanwhile(machine: Machine) -> None:
    machine.program(
        "apt-get", f"kill -TERM $PPID; sleep 0.3; cat $root/{POLICY} >$root/policy.seen"
    )

    result = machine.run()

    assert result.returncode == 1
    assert "exit 101" in machine.policy_during_the_installation()
    assert not (machine.root / POLICY).exists()


def test_stale_package_lists_are_fetched_once(machine: Machine) -> None:
    (machine.root / "broken").touch()

    machine.run()

    assert [call.split()[0] for call in machine.apt_was_told()] == ["install", "update", "install"]


@pytest.mark.parametrize(("ci", "code"), [(False, 0), (True, 1)])
def test_what_stays_missing_is_named_and_fails_only_in_ci(
    machine: Machine, *, ci: bool, code: int
) -> None:
    (machine.root / "broken").touch()

    result = machine.run(ci=ci)

    assert result.returncode == code
    assert "missing: xfsprogs postgresql." in result.stderr


@pytest.mark.parametrize(("ci", "code"), [(False, 0), (True, 1)])
def test_without_root_and_sudo_one_sentence_names_the_packages(
    machine: Machine, *, ci: bool, code: int
) -> None:
    machine.program("id", "echo 1000")

    result = machine.run(ci=ci)

    assert result.returncode == code
    assert result.stderr.count("\n") == 1
    assert "needs root" in result.stderr
    assert "missing: xfsprogs postgresql." in result.stderr
    assert machine.apt_was_told() == []


def test_without_root_a_sudo_that_works_is_used(machine: Machine) -> None:
    machine.program(
        "sudo", 'shift; touch $root/is-root; exec env SYSTEM_ROOT=$root PATH=$PATH "$@"'
    )
    machine.program("id", "[[ -e $root/is-root ]] && echo 0 || echo 1000")
    machine.program("true", "exit 0")

    result = machine.run(ci=True)

    assert result.returncode == 0, result.stderr
    assert machine.apt_was_told() == ["install --yes --no-install-recommends xfsprogs postgresql"]


def test_a_machine_without_apt_is_told_what_to_install(machine: Machine) -> None:
    (machine.root / "bin" / "apt-get").unlink()

    result = machine.run()

    assert result.returncode == 0
    assert "has no apt" in result.stderr
    assert "mariadb-server" in result.stderr
