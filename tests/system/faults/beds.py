"""The kinds of servers that faults need."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from n2wbackup.demo.aws import VolumeSpec
from n2wbackup.demo.aws.options import OptionChanges
from tests.ground import components, filesystems, launcher, network, processes, sshd
from tests.ground.launcher import SHARED
from tests.ground.network import Network
from tests.system import launched
from tests.system import product as products
from tests.system.faults import outside, points
from tests.system.faults.bed import POLICY, Bed
from tests.system.faults.outside import Outside
from tests.system.product import OWNER, Product

ROLE = "arn:aws:iam::123456789012:role/backup"
FAR = "eu-west-1"
OUTSIDE = Path("/var/tmp")  # of /tmp, which is another one for some instances
WITHOUT_SCRIPTS = {"scripts": {"enabled": False}, "success_requires": "crash"}
# AWS's own times, so that a bed makes many recoveries.
QUICK: OptionChanges = {
    "pending_seconds": 0.2,
    "copy_seconds": 0.2,
    "initialization_seconds": 0.5,
}
FAKETIME = "*/faketime/libfaketimeMT.so.1"  # below /usr/lib, in the folder of the architecture


@contextlib.contextmanager
def made(
    home: Path,
    *,
    database_url: str = "",
    more: Mapping[str, str] | None = None,
    role_arn: str = "",
    prepare: Callable[[Product], None] = lambda _: None,
    volumes: list[VolumeSpec] | None = None,
) -> Iterator[Bed]:
    with (
        memory() as beside,
        products.serving(
            home,
            beside,
            database_url=database_url,
            policy=POLICY,
            more=more,
            role_arn=role_arn,
            prepare=prepare,
            volumes=volumes,
        ) as product,
    ):
        bed = _bed(product, beside)
        with bed.helpers:
            yield bed


@contextlib.contextmanager
def plain() -> Iterator[Bed]:
    """Serve with SQLite and the embedded broker."""
    with processes.folder() as folder, made(folder / "home") as bed:
        yield bed


@contextlib.contextmanager
def with_a_restore_point() -> Iterator[Bed]:
    """Serve a policy without scripts that has one restore point, of an instance with two volumes."""
    with processes.folder() as folder, made(folder / "home") as bed:
        bed.always = WITHOUT_SCRIPTS
        bed.product.aws.configure(**QUICK)
        bed.apply()
        bed.point = bed.product.start_run()
        bed.product.wait_for_end(bed.point)
        yield bed


@contextlib.contextmanager
def with_copies() -> Iterator[Bed]:
    """Serve the same with a copy of each snapshot in another region."""
    with with_a_restore_point() as bed:
        bed.always = {**WITHOUT_SCRIPTS, "copies": [{"region": FAR}]}
        bed.apply()
        bed.product.succeed("copies", bed.point, "--to", FAR)
        sql = "SELECT count(*) FROM policies_copy WHERE state <> 'completed'"
        points.until(bed, lambda: bed.query(sql)[0][0] == 0, "its copies", "copies")
        yield bed


@contextlib.contextmanager
def on_postgresql() -> Iterator[Bed]:
    """Serve on a PostgreSQL of its own, which can be stopped and started."""
    with (
        outside.database() as database,
        processes.folder() as folder,
        made(folder / "home", database_url=database.url) as bed,
    ):
        bed.database = database
        yield bed


@contextlib.contextmanager
def with_broker() -> Iterator[Bed]:
    """Serve with a broker of its own, which can be stopped and started."""
    with (
        outside.broker() as broker,
        processes.folder() as folder,
        made(folder / "home", more={"REDIS_URL": broker.url}) as bed,
    ):
        bed.broker = broker
        yield bed


@contextlib.contextmanager
def with_doubled_messages() -> Iterator[Bed]:
    """Serve with programs that put each message into its queue twice."""
    more = {"PYTHONPATH": str(Path(__file__).parent / "doubling")}
    with processes.folder() as folder, made(folder / "home", more=more) as bed:
        yield bed


@contextlib.contextmanager
def with_a_role() -> Iterator[Bed]:
    """Serve an account that is a role, whose credentials end after some seconds."""
    with processes.folder() as folder, made(folder / "home", role_arn=ROLE) as bed:
        [(external_id,)] = bed.query("SELECT external_id FROM policies_account")
        bed.product.aws.add_role(ROLE, str(external_id))
        yield bed


@contextlib.contextmanager
def by_the_launcher() -> Iterator[Bed]:
    """Serve as an account that is not root; scripts run as their owner, whom the launcher becomes."""
    with launcher.installed(OWNER, SHARED) as place, processes.folder() as folder:
        folder.chmod(0o755)
        more = {"N2W_RUN_SCRIPTS_AS": "owner", "N2W_SCRIPT_USER": SHARED}
        with made(folder / "home", more=more, prepare=launched.settle(place)) as bed:
            bed.gates.chmod(0o777)
            yield bed


@contextlib.contextmanager
def over_ssh() -> Iterator[Bed]:
    """Serve a policy whose before and after run on an instance; that is an sshd of this machine.

    As root, both are in a network of their own, in which their connection can be cut.
    """
    with (
        network.own() if os.geteuid() == 0 else contextlib.nullcontext() as between,
        _over_ssh(between) as bed,
    ):
        yield bed


@contextlib.contextmanager
def over_ssm() -> Iterator[Bed]:
    """Serve a policy whose before and after run on an instance that SSM reaches."""
    with processes.folder() as folder, made(folder / "home") as bed:
        (folder / "instance").mkdir()
        bed.managed = bed.product.aws.add_instance(
            folder=folder / "instance", volumes=[VolumeSpec(), VolumeSpec()]
        ).instance_id
        target = {"instance": bed.managed, "region": "us-east-1", "remote": {"by": "ssm"}}
        bed.always = {"targets": [target]}
        try:
            yield bed
        finally:
            for base in ("/run", "/dev/shm"):
                for left in Path(base).glob(f"n2w-*{bed.managed}"):
                    shutil.rmtree(left)


@contextlib.contextmanager
def over_ssh_on_postgresql() -> Iterator[Bed]:
    """Serve as `over_ssh`, on a PostgreSQL that can be stopped and started."""
    with (
        network.own() as between,
        outside.database() as database,
        _over_ssh(between, database) as bed,
    ):
        yield bed


@contextlib.contextmanager
def over_ssh_on_ext4() -> Iterator[Bed]:
    """Serve as `over_ssh`; on the instance, home, /tmp and the scripts lie on an ext4."""
    with _over_ssh_on(filesystems.ext4) as bed:
        yield bed


@contextlib.contextmanager
def over_ssh_on_xfs() -> Iterator[Bed]:
    """Serve as `over_ssh`; on the instance, home, /tmp and the scripts lie on an XFS."""
    with _over_ssh_on(filesystems.xfs) as bed:
        yield bed


@contextlib.contextmanager
def _over_ssh_on(
    kind: Callable[[Path], contextlib.AbstractContextManager[filesystems.Volume]],
) -> Iterator[Bed]:
    with (
        network.own() as between,
        processes.folder(under=OUTSIDE) as folder,
        kind(folder) as disk,
        _over_ssh(between, disk=disk.mount) as bed,
    ):
        yield bed


@contextlib.contextmanager
def _over_ssh(
    between: Network | None, database: Outside | None = None, disk: Path | None = None
) -> Iterator[Bed]:
    within = _on_the_disk(disk) if disk else ()
    with (
        processes.folder() as folder,
        processes.folder(under=OUTSIDE) as keys,
        sshd.running(keys / "sshd", within=within) as server,
        made_over_ssh(folder, server, between, database) as bed,
    ):
        paths = {phase: str(disk / phase) for phase in ("before", "after")} if disk else {}
        bed.mount = disk
        bed.always = {"targets": [way_to(server, bed.product.instance, paths)]}
        yield bed


@contextlib.contextmanager
def made_over_ssh(
    folder: Path, server: sshd.Sshd, between: Network | None, database: Outside | None = None
) -> Iterator[Bed]:
    """Serve somebody who is let in at this sshd; no policy runs scripts there yet."""
    more = {"N2W_SSH_NETWORKS": "127.0.0.0/8"}
    url = database.url if database else ""
    with made(folder / "home", more=more, database_url=url) as bed:
        server.let_in(bed.product.succeed("add_key", OWNER).strip())
        words = ("--port", str(server.port), "--fingerprint", server.host_key)
        bed.product.succeed("approve_host", OWNER, "127.0.0.1", *words)
        bed.sshd, bed.network, bed.database = server, between, database
        yield bed


def _on_the_disk(disk: Path) -> tuple[str | Path, ...]:
    """Return a command that becomes another one, for which home and /tmp lie on the disk."""
    view = 'for at in /root /tmp; do mount --bind "$0" $at; done; exec "$@"'
    return (components.program("unshare"), "--mount", "--", "/bin/sh", "-c", view, disk)


def way_to(
    server: sshd.Sshd, instance: str, paths: Mapping[str, str], port: int = 0
) -> dict[str, object]:
    """Return a target whose scripts run at this sshd, as `apply` takes it; `paths` are those that lie there."""
    way = {"by": "ssh", "user": server.user, "key": "stored", "host": "127.0.0.1"}
    remote = {**way, "port": port or server.port, **({"scripts": paths} if paths else {})}
    return {"instance": instance, "region": "us-east-1", "remote": remote}


@contextlib.contextmanager
def on_a_small_disk() -> Iterator[Bed]:
    """Serve a home on its own small file system, to be filled or frozen; temporary files are there, too."""
    with (
        processes.folder() as folder,
        filesystems.ext4(folder, name="own", megabytes=96) as volume,
    ):
        temporary = volume.mount / "tmp"
        temporary.mkdir()
        with made(volume.mount / "home", more={"TMPDIR": str(temporary)}) as bed:
            bed.mount = volume.mount
            yield bed


@contextlib.contextmanager
def with_a_false_clock() -> Iterator[Bed]:
    """Serve with a clock that can be set forward and back; scripts and AWS have the true one."""
    library = next(iter(Path("/usr/lib").glob(FAKETIME)), None)
    if library is None:
        components.missing("libfaketime")
    with processes.folder() as folder:
        clock = folder / "clock"
        clock.write_text("+0")
        more = {
            "LD_PRELOAD": str(library),
            "PYTHONPATH": str(Path(__file__).parent / "clock"),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        with made(folder / "home", more=more) as bed:
            bed.clock = clock
            yield bed
        for left in Path("/dev/shm").glob("*faketime_s*_*"):  # of those that were killed
            if not Path(f"/proc/{left.name.rpartition('_')[2]}").exists():
                left.unlink(missing_ok=True)


def _bed(product: Product, beside: Path) -> Bed:
    gates = beside / "gates"
    gates.mkdir()
    return Bed(product, gates)


@contextlib.contextmanager
def memory() -> Iterator[Path]:
    """Give a folder in memory for marks and gates, which no frozen disk stops."""
    with processes.folder("n2wbackup-bed-", Path("/dev/shm")) as folder:
        yield folder
