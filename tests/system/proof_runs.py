"""Shared by the tests of proofs: a server that may open snapshots of a data volume, backups and proofs of it."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from n2wbackup.demo.aws import VolumeSpec
from scripts_admin.folders import recipes as made_recipes
from tests.ground import components, filesystems
from tests.system.product import LABEL, OWNER, POLICY, Product, serving

LET_OPEN = (
    "from scripts_admin import permissions; from scripts_admin.models import User; "
    f"permissions.let_open_snapshots(User.objects.get(username='{OWNER}'))"
)
BLOCK_SECONDS = 0.03  # as AWS takes for one


@contextmanager
def served(
    ground_folder: Path,
    disks: filesystems.Volume,
    data: filesystems.Volume,
    prepare: Callable[[Product], None] = lambda _: None,
    size_gib: int = 2,
) -> Iterator[Product]:
    """A server whose policy backs the data volume up; a snapshot of it has real blocks."""
    components.program("nbdkit")
    components.needs_root("a mount")
    copies = disks.mount / "snapshots"
    copies.mkdir(exist_ok=True)
    home = ground_folder / f"product-{os.urandom(3).hex()}"
    home.mkdir()
    volumes = [VolumeSpec(), VolumeSpec(backing=data.image, copy_to=copies, size_gib=size_gib)]
    try:
        with serving(home / "home", home, volumes=volumes, prepare=prepare) as product:
            product.aws.configure(latency_seconds={"GetSnapshotBlock": BLOCK_SECONDS})
            product.succeed("shell", "--command", LET_OPEN)
            shutil.rmtree(product.folder)
            product.folder.mkdir()
            yield product
    finally:
        shutil.rmtree(home, ignore_errors=True)


def backed_up(product: Product) -> dict[str, Any]:
    done = product.manage("run_policy", LABEL, "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def proven(product: Product, run: str, recipe: str, level: int = 3) -> dict[str, Any]:
    words = ("--level", str(level), "--recipe", recipe, "--json")
    done = product.manage("prove", run, *words)
    assert done.stdout.startswith("{"), done.stdout + done.stderr + product.log.read_text()[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) == (found["state"] == "passed"), done.stderr
    tally(recipe, found)
    return found


def tell(figures: str) -> None:
    """Say figures: pytest shows them with -s, and where a test fails."""
    sys.stdout.write(f"\n{figures}\n")


def install_recipe(product: Product, slug: str, settings: dict[str, str]) -> None:
    """Lay a recipe's scripts for the product's policy into its folder, as the page does."""
    recipe = made_recipes.named(slug)
    assert recipe is not None
    for name, text in made_recipes.made(recipe, POLICY, settings).items():
        path = product.folder / name
        path.write_bytes(text)
        path.chmod(0o755 if name.endswith(".sh") else 0o644)


def tally(what: str, proof: dict[str, Any]) -> None:
    read, all_of_it = proof["blocks_read"], proof["blocks_of_snapshot"]
    share = f"{100 * read / all_of_it:.1f} %" if all_of_it else "-"
    redo = proof["redo"]["bytes"] if proof["redo"] else "-"
    tell(
        f"{what}: {proof['state']}, level {proof['reached']} of {proof['level']}, {read} of {all_of_it} blocks "
        f"({share}), {proof['seconds']} s, ${proof['cost_usd']}, redo {redo} bytes; {proof['reason']}"
    )


def last_in(proof: dict[str, Any]) -> int:
    """Return what the verification of a test said last: the number of the newest write."""
    return next(
        int(line.split()[1]) for line in proof["output"].splitlines() if line.startswith("last ")
    )
