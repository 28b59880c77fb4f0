"""Puts the recipes of docs/recipes into a scripts folder, as a reader of their README would."""

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.ground import mariadb, sshd

Settings = dict[str, str | Path]
Install = Callable[..., "Recipe"]  # what the fixtures give: settings in, an installed recipe out
RECIPES = Path(__file__).parents[2] / "docs" / "recipes"


@dataclass(frozen=True)
class Recipe:
    """A recipe's scripts in their folder; `state` is where they keep what they must remember."""

    folder: Path
    policy: str
    state: Path

    @property
    def before(self) -> Path:
        """The script that freezes."""
        return self.folder / f"before_{self.policy}.sh"

    @property
    def after(self) -> Path:
        """The script that thaws."""
        return self.folder / f"after_{self.policy}.sh"

    @property
    def complete(self) -> Path:
        """The script that cleans up."""
        return self.folder / f"complete_{self.policy}.sh"


def mariadb_over_ssh(
    folder: Path,
    server: mariadb.Server,
    ssh: sshd.Sshd,
    *,
    settings: Settings | None = None,
    policy: str = "MyPolicy",
) -> Recipe:
    """Install the variant over SSH in `folder`, which is made; `settings` go into mariadb.conf."""
    instance = folder.with_name(f"{folder.name}-instance")
    connection: Settings = {
        "host": ssh.host,
        "ssh_config": ssh.config,
        "ssh_key": "",
        "known_hosts": "",
    }
    return _mariadb(folder, "over-ssh", server, instance, policy, connection | (settings or {}))


def mariadb_client_on_server(
    folder: Path,
    server: mariadb.Server,
    *,
    settings: Settings | None = None,
    policy: str = "MyPolicy",
) -> Recipe:
    """Install the variant without SSH in `folder`, which is made; its client comes over TCP."""
    beside = folder.with_name(f"{folder.name}-state")
    return _mariadb(folder, "client-on-server", server, beside, policy, settings or {})


def _mariadb(
    folder: Path,
    variant: str,
    server: mariadb.Server,
    beside: Path,
    policy: str,
    settings: Settings,
) -> Recipe:
    recipe = Recipe(folder, policy, beside / "state")
    beside.mkdir(parents=True, mode=0o755)
    shutil.copytree(RECIPES / "mariadb" / variant, folder)
    shutil.copy(RECIPES / "mariadb" / "mariadb-session.sh", folder)
    for script in folder.glob("*_MyPolicy.sh"):
        script.rename(script.with_name(script.name.replace("MyPolicy", policy)))
    options = server.option_file(beside / "client.cnf", tcp=variant == "client-on-server")
    places = {"option_file": options, "state_folder": recipe.state, "data_folder": server.data}
    _set(folder / "mariadb.conf", {**places, **settings})
    return recipe


def _set(conf: Path, settings: Settings) -> None:
    text = conf.read_text()
    for name, value in settings.items():
        found = re.search(rf"(?m)^{name}=[^#\n]*", text)
        if found is None:
            raise ValueError(f"{conf.name} has no setting {name}")
        line = f"{name}={shlex.quote(str(value)) if str(value) else ''} "
        text = text[: found.start()] + line + text[found.end() :]
    conf.write_text(text)
