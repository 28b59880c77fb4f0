"""Puts the Redis recipe into a scripts folder, like a reader of its README."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.ground import recipes, redis, sshd

Serve = Callable[..., redis.Server]  # from the fixtures: kind in, a server out
Install = Callable[..., recipes.Recipe]  # a server and settings in, an installed recipe out


def install(
    folder: Path,
    server: redis.Server,
    ssh: sshd.Sshd | None,
    *,
    settings: recipes.Settings | None = None,
    policy: str = "MyPolicy",
) -> recipes.Recipe:
    """Install the recipe in `folder`, which is created; without `ssh` the client connects over TCP."""
    beside = folder.with_name(f"{folder.name}-state")
    recipe = recipes.Recipe(folder, policy, beside / "state")
    beside.mkdir(parents=True, mode=0o755)
    shutil.copytree(recipes.RECIPES / "redis", folder)
    for script in folder.glob("*_MyPolicy.sh"):
        script.rename(script.with_name(script.name.replace("MyPolicy", policy)))
    way: recipes.Settings = {"ssh_to": "", "ssh_key": "", "known_hosts": ""}
    if ssh is not None:
        way |= {"ssh_to": ssh.host, "ssh_config": ssh.config}
    places: recipes.Settings = {
        "option_file": server.option_file(beside / "options", tcp=ssh is None),
        "state_folder": recipe.state,
        "data_folder": server.data,
    }
    recipes._set(folder / "n2w-redis.conf", {**way, **places, **(settings or {})})
    return recipe
