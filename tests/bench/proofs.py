"""How much of a database of some size a proof reads: `python -m tests.bench.proofs [--gib N]`.

A MariaDB and a PostgreSQL on an XFS, under 200 writes a second, are backed up by the whole product; that very snapshot
is proven to level 3, with 30 ms for each block, as AWS takes. It needs root, and about twice the size on the disk.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from tests.ground import filesystems, ledger, mariadb, postgresql, processes
from tests.system.product import Product
from tests.system.proof_runs import backed_up, install_recipe, proven, served

_MIB = 1024**2
_ROOM = 1_000  # MiB beside the bulk: logs, and what the server itself has
_OF_A_TABLE = 256  # MiB, as a database of some size has several


@dataclass(frozen=True, slots=True)
class Place:
    folder: Path
    disks: filesystems.Volume
    volume: filesystems.Volume
    mib: int

    @property
    def size_gib(self) -> int:
        return -(-(self.mib + _ROOM) // 1024)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.proofs", description=__doc__)
    parser.add_argument("--gib", type=float, default=3.0, help="of each database (default: 3)")
    parser.add_argument("--only", choices=("mariadb", "postgresql"), help="one of them")
    given = parser.parse_args()
    settings.configure(BASE_DIR=Path(__file__).resolve().parents[2])  # where recipes are
    for recipe, measure in (("mariadb", _mariadb), ("postgresql", _postgresql)):
        if given.only in (None, recipe):
            with _place(int(given.gib * 1024)) as place:
                sys.stdout.write(f"{_line(recipe, measure(place))}\n")
    return 0


@contextmanager
def _place(mib: int) -> Iterator[Place]:
    with (
        processes.folder() as folder,
        filesystems.xfs(folder, name="disks", megabytes=3 * (mib + _ROOM)) as disks,
        filesystems.xfs(disks.mount, name="data", megabytes=mib + _ROOM) as volume,
    ):
        yield Place(folder, disks, volume, mib)


def _mariadb(place: Place) -> dict[str, Any]:
    quick = (
        "--innodb-flush-log-at-trx-commit=2",
        "--innodb-doublewrite=OFF",
        "--innodb-buffer-pool-size=512M",
    )
    data = place.volume.mount / "mysql"
    with mariadb.running(place.folder / "maria", data=data, options=quick) as server:
        rows = _OF_A_TABLE * _MIB // 65_536
        for number in range(max(1, place.mib // _OF_A_TABLE)):
            server.sql(
                f"SET sql_log_bin = 0; CREATE TABLE shop.bulk{number} (id INT PRIMARY KEY, pad LONGBLOB) "  # noqa: S608 - of ours
                f"SELECT seq AS id, REPEAT(CHAR(65 + seq % 26), 64000) AS pad FROM shop.seq_1_to_{rows}"
            )
        with ledger.Writer(server, per_second=200) as writer, _serving(place) as product:
            settings = {
                "option_file": str(server.option_file(product.home / "client.cnf")),
                "state_folder": str(product.home / "state"),
                "data_folder": str(server.data),
            }
            install_recipe(product, "mariadb-client-on-server", settings)
            return _proof(product, writer, "mariadb")


def _postgresql(place: Place) -> dict[str, Any]:
    data = place.volume.mount / "postgresql"
    with postgresql.running(data=data, settings={"synchronous_commit": "off"}) as server:
        server.open_shop()
        rows = _OF_A_TABLE * _MIB // 2_100
        for number in range(max(1, place.mib // _OF_A_TABLE)):
            server.sql(
                f"CREATE TABLE bulk{number} AS SELECT g AS id, (SELECT string_agg(md5((g * 64 + i)::text), '') "  # noqa: S608
                f"FROM generate_series(1, 64) AS i) AS pad FROM generate_series(1, {rows}) AS g",
                database="shop",
            )
        with ledger.Writer(server, per_second=200) as writer, _serving(place) as product:
            settings = {
                "service_file": str(server.service_file(product.home / "service.conf")),
                "state_folder": str(product.home / "state"),
                "data_folder": str(server.data),
            }
            install_recipe(product, "postgresql-client-on-server", settings)
            return _proof(product, writer, "postgresql")


@contextmanager
def _serving(place: Place) -> Iterator[Product]:
    with served(place.folder, place.disks, place.volume, size_gib=place.size_gib) as product:
        yield product


def _proof(product: Product, writer: ledger.Writer, recipe: str) -> dict[str, Any]:
    writer.wait_for(200)
    return proven(product, backed_up(product)["id"], recipe)


def _line(recipe: str, proof: dict[str, Any]) -> str:
    """Return what docs/proofs.md has of a database, as a row of its table."""
    read, of = proof["blocks_read"], proof["blocks_of_snapshot"]
    share = f"{read} of {of} | {100 * read / of:.1f} %"
    took = f"{proof['seconds']:.1f} s | ${proof['cost_usd']:.4f}"
    return f"| {recipe}, {proof['state']} | {of / 2048:.1f} GiB | {share} | {took} |"


if __name__ == "__main__":
    sys.exit(main())
