"""The kinds of servers that faults need."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.ground import components, filesystems, launcher, processes, sshd
from tests.ground.launcher import SHARED
from tests.system import launched
from tests.system import product as products
from tests.system.faults import outside
from tests.system.faults.bed import POLICY, Bed
from tests.system.product import OWNER, Product

ROLE = "arn:aws:iam::123456789012:role/backup"
FAKETIME = "*/faketime/libfaketimeMT.so.1"  # below /usr/lib, in the folder of the architecture


@contextlib.contextmanager
def _made(
    home: Path,
    *,
    database_url: str = "",
    more: Mapping[str, str] | None = None,
    role_arn: str = "",
    prepare: Callable[[Product], None] = lambda _: None,
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
        ) as product,
    ):
        bed = _bed(product, beside)
        with bed.helpers:
            yield bed


@contextlib.contextmanager
def plain() -> Iterator[Bed]:
    """Serve with SQLite and the embedded broker."""
    with processes.folder() as folder, _made(folder / "home") as bed:
        yield bed


@contextlib.contextmanager
def on_postgresql() -> Iterator[Bed]:
    """Serve on a PostgreSQL of its own, which can be stopped and started."""
    with (
        outside.database() as database,
        processes.folder() as folder,
        _made(folder / "home", database_url=database.url) as bed,
    ):
        bed.database = database
        yield bed


@contextlib.contextmanager
def with_broker() -> Iterator[Bed]:
    """Serve with a broker of its own, which can be stopped and started."""
    with (
        outside.broker() as broker,
        processes.folder() as folder,
        _made(folder / "home", more={"REDIS_URL": broker.url}) as bed,
    ):
        bed.broker = broker
        yield bed


@contextlib.contextmanager
def with_doubled_messages() -> Iterator[Bed]:
    """Serve with programs that put each message into its queue twice."""
    more = {"PYTHONPATH": str(Path(__file__).parent / "doubling")}
    with processes.folder() as folder, _made(folder / "home", more=more) as bed:
        yield bed


@contextlib.contextmanager
def with_a_role() -> Iterator[Bed]:
    """Serve an account that is a role, whose credentials end after some seconds."""
    with processes.folder() as folder, _made(folder / "home", role_arn=ROLE) as bed:
        [(external_id,)] = bed.query("SELECT external_id FROM policies_account")
        bed.product.aws.add_role(ROLE, str(external_id))
        yield bed


@contextlib.contextmanager
def by_the_launcher() -> Iterator[Bed]:
    """Serve as an account that is not root; scripts run as their owner, whom the launcher becomes."""
    with launcher.installed(OWNER, SHARED) as place, processes.folder() as folder:
        folder.chmod(0o755)
        more = {"N2W_RUN_SCRIPTS_AS": "owner", "N2W_SCRIPT_USER": SHARED}
        with _made(folder / "home", more=more, prepare=launched.settle(place)) as bed:
            bed.gates.chmod(0o777)
            yield bed


@contextlib.contextmanager
def over_ssh() -> Iterator[Bed]:
    """Serve a policy whose before and after run on an instance; that is an sshd of this machine."""
    with processes.folder() as folder, sshd.running(folder / "sshd") as server:
        more = {"N2W_SSH_NETWORKS": "127.0.0.0/8"}
        with _made(folder / "home", more=more) as bed:
            product = bed.product
            server.let_in(product.succeed("add_key", OWNER).strip())
            words = ("--port", str(server.port), "--fingerprint", server.host_key)
            product.succeed("approve_host", OWNER, "127.0.0.1", *words)
            way = {"by": "ssh", "user": server.user, "key": "stored", "host": "127.0.0.1"}
            target = {"instance": product.instance, "region": "us-east-1"}
            bed.sshd = server
            bed.always = {"targets": [target | {"remote": way | {"port": server.port}}]}
            yield bed


@contextlib.contextmanager
def on_a_small_disk() -> Iterator[Bed]:
    """Serve a home on its own small file system, to be filled or frozen; temporary files are there, too."""
    with (
        processes.folder() as folder,
        filesystems.ext4(folder, name="own", megabytes=96) as volume,
    ):
        temporary = volume.mount / "tmp"
        temporary.mkdir()
        with _made(volume.mount / "home", more={"TMPDIR": str(temporary)}) as bed:
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
        with _made(folder / "home", more=more) as bed:
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
