"""The kinds of servers that faults need."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.ground import processes
from tests.system import product as products
from tests.system.faults import postgresql_server
from tests.system.faults.bed import POLICY, Bed
from tests.system.product import Product


@contextlib.contextmanager
def plain(more: Mapping[str, str] | None = None) -> Iterator[Bed]:
    """Serve with SQLite and the embedded broker."""
    with (
        processes.folder() as folder,
        memory() as beside,
        products.serving(folder / "home", beside, policy=POLICY, more=more) as product,
    ):
        yield _bed(product, beside)


@contextlib.contextmanager
def on_postgresql() -> Iterator[Bed]:
    """Serve on a PostgreSQL of its own, which can be stopped and started."""
    with (
        postgresql_server.running() as database,
        processes.folder() as folder,
        memory() as beside,
        products.serving(
            folder / "home", beside, database_url=database.url, policy=POLICY
        ) as product,
    ):
        bed = _bed(product, beside)
        bed.database = database
        yield bed


def _bed(product: Product, beside: Path) -> Bed:
    gates = beside / "gates"
    gates.mkdir()
    return Bed(product, gates)


@contextlib.contextmanager
def memory() -> Iterator[Path]:
    """Give a folder in memory for marks and gates, which no frozen disk stops."""
    with processes.folder("n2wbackup-bed-", Path("/dev/shm")) as folder:
        yield folder
