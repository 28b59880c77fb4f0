"""Backups that need a server of their own: drained, on the frozen disk itself, on PostgreSQL."""

from pathlib import Path

import pytest

from tests.ground import components, filesystems, postgresql, processes
from tests.system.product import LABEL, serving

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.lasts(150)]


def test_a_server_that_is_drained_fires_and_thaws_what_is_open() -> None:
    with processes.folder() as folder, serving(folder / "home", folder) as product:
        product.scripts(before="sleep 2")
        run = product.start_run()
        product.wait_for_mark("before", "start")

        product.succeed("drain")

        assert [m.argument for m in product.marks("after", "end")] == ["1"]
        shown = product.show(run)
        assert shown["state"] in {"waiting", "completing", "succeeded"}
        assert len(shown["snapshots"]) == 2


@pytest.mark.parametrize("victims", [(), ("n2wbackup worker freeze", "n2wbackup guard")])
def test_a_window_on_the_file_system_of_our_own_home_is_thawed(victims: tuple[str, ...]) -> None:
    components.needs_root("fsfreeze")
    with (
        processes.folder() as folder,
        filesystems.ext4(folder, name="own", megabytes=256) as volume,
        serving(volume.mount / "home", folder) as product,
    ):
        freeze = f"fsfreeze -f {volume.mount}"
        if victims:
            freeze += "; sleep 3"
        product.scripts(before=freeze, after=f"fsfreeze -u {volume.mount}")
        run = product.start_run()
        product.wait_for_mark("before", "start")
        if victims:
            processes.wait_until(
                lambda: bool(product.pids("n2wbackup guard")), seconds=60, what="a guard"
            )
            product.kill(*victims)

        after = product.wait_for_mark("after", "end")

        Path(volume.mount / "it-writes").write_text("again")
        if victims:
            product.cancel(run)
        ended = product.wait_for_end(run)
        assert ended["consistency"] == ("none" if victims else "application")
        assert after.argument == ("0" if victims else "1")


def test_a_backup_on_postgresql() -> None:
    with (
        postgresql.running() as cluster,
        processes.folder() as folder,
        serving(folder / "home", folder, database_url=cluster.url()) as product,
    ):
        product.scripts()
        assert product.wait_for_end(product.start_run())["state"] == "succeeded"
        assert product.manage("run_policy", LABEL, "--wait").returncode == 0
