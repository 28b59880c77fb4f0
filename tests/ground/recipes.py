"""Puts the recipes of docs/recipes into a scripts folder, like a reader of their README."""

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.ground import components, mariadb, postgresql, sshd

Settings = dict[str, str | Path]
Install = Callable[..., "Recipe"]  # from the fixtures: settings in, an installed recipe out
RECIPES = Path(__file__).parents[2] / "docs" / "recipes"


@dataclass(frozen=True)
class Kind:
    """The files of a recipe: its folder, the part on the client's side, and its settings."""

    name: str
    session: str
    conf: str


MARIADB = Kind("mariadb", "mariadb-session.sh", "mariadb.conf")
POSTGRESQL = Kind("postgresql", "postgresql-session.sh", "postgresql-scripts.conf")


@dataclass(frozen=True)
class Recipe:
    """A recipe's scripts in their folder; `state` is the folder of their state."""

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
    """Install the variant over SSH in `folder`, which is created; `settings` go into mariadb.conf."""
    beside = _beside(folder, "instance")
    places = _mariadb_places(server.option_file(beside / "client.cnf"), server.data)
    wanted = _connection(ssh) | places | (settings or {})
    return _install(MARIADB, "over-ssh", folder, beside, policy, wanted)


def with_keys_of_the_server(
    recipe: Recipe, ssh: sshd.Sshd, place: Path, *, conf: str = "mariadb.conf"
) -> None:
    """Let an installed recipe log in with the keys and hosts in the server's folder for its owner."""
    (recipe.folder / "ssh_config").write_text(
        f"Host {ssh.host}\n  HostName 127.0.0.1\n  Port {ssh.port}\n  User {ssh.user}\n"
    )
    _set(recipe.folder / conf, {"ssh_config": place / "config"})


def mariadb_client_on_server(
    folder: Path,
    server: mariadb.Server,
    *,
    settings: Settings | None = None,
    policy: str = "MyPolicy",
) -> Recipe:
    """Install the variant without SSH in `folder`, which is created; its client connects over TCP."""
    beside = _beside(folder, "state")
    places = _mariadb_places(server.option_file(beside / "client.cnf", tcp=True), server.data)
    return _install(MARIADB, "client-on-server", folder, beside, policy, places | (settings or {}))


def _mariadb_places(options: Path, data: Path) -> Settings:
    return {"option_file": options, "data_folder": data}


def postgresql_over_ssh(
    folder: Path,
    cluster: postgresql.Cluster,
    ssh: sshd.Sshd,
    *,
    settings: Settings | None = None,
    policy: str = "MyPolicy",
) -> Recipe:
    """Install the variant over SSH in `folder`; `settings` go into postgresql-scripts.conf."""
    beside = _beside(folder, "instance")
    places = _postgresql_places(cluster.service_file(beside / "service.conf"), cluster.data)
    wanted = _connection(ssh) | places | (settings or {})
    return _install(POSTGRESQL, "over-ssh", folder, beside, policy, wanted)


def postgresql_client_on_server(
    folder: Path,
    cluster: postgresql.Cluster,
    *,
    settings: Settings | None = None,
    policy: str = "MyPolicy",
) -> Recipe:
    """Install the variant without SSH in `folder`, which is created; its client connects over TCP."""
    beside = _beside(folder, "state")
    service = cluster.service_file(beside / "service.conf", tcp=True)
    wanted = _postgresql_places(service, cluster.data) | (settings or {})
    return _install(POSTGRESQL, "client-on-server", folder, beside, policy, wanted)


def _postgresql_places(service: Path, data: Path) -> Settings:
    cleanup = components.program("pg_archivecleanup")
    return {"service_file": service, "data_folder": data, "archivecleanup": cleanup}


def _connection(ssh: sshd.Sshd) -> Settings:
    return {"host": ssh.host, "ssh_config": ssh.config, "ssh_key": "", "known_hosts": ""}


def _beside(folder: Path, name: str) -> Path:
    made = folder.with_name(f"{folder.name}-{name}")
    made.mkdir(parents=True, mode=0o755)
    return made


def _install(
    kind: Kind, variant: str, folder: Path, beside: Path, policy: str, settings: Settings
) -> Recipe:
    recipe = Recipe(folder, policy, beside / "state")
    shutil.copytree(RECIPES / kind.name / variant, folder)
    shutil.copy(RECIPES / kind.name / kind.session, folder)
    for script in folder.glob("*_MyPolicy.sh"):
        script.rename(script.with_name(script.name.replace("MyPolicy", policy)))
    _set(folder / kind.conf, {"state_folder": recipe.state, **settings})
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
