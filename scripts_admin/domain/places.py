"""Where `provision_user` puts what the system reads: all paths and names in one place."""

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class Places:
    """`prefix` stands before all paths, and `mark` is part of the names that the whole machine shares."""

    prefix: str = ""
    group: str = "n2w-scripts"
    table: str = "n2wbackup"
    homes: str = "/home"
    programs: str = ""  # sshd wants a folder that only root can write to, up to the root of all

    def _at(self, path: str) -> str:
        return str(PurePosixPath(self.prefix or "/") / path)

    @property
    def accounts(self) -> str:
        """The accounts that are ours; the launcher reads it."""
        return self._at("etc/n2wbackup/accounts")

    @property
    def lock(self) -> str:
        return self._at("etc/n2wbackup/.lock")

    @property
    def rules(self) -> str:
        return self._at("etc/n2wbackup/metadata.nft")

    @property
    def unit(self) -> str:
        """Not named n2wbackup-…: the server's units have common settings by that name."""
        return self._at("etc/systemd/system/n2w-firewall.service")

    @property
    def unit_link(self) -> str:
        return self._at("etc/systemd/system/multi-user.target.wants/n2w-firewall.service")

    def departing(self, kind: str) -> str:
        """The service, path or timer unit that locks the accounts of people who left."""
        return self._at(f"etc/systemd/system/n2w-departed.{kind}")

    def departing_link(self, kind: str) -> str:
        target = {"path": "multi-user", "timer": "timers"}[kind]
        return self._at(f"etc/systemd/system/{target}.target.wants/n2w-departed.{kind}")

    def slice_of(self, uid: int) -> str:
        return self._at(f"etc/systemd/system/user-{uid}.slice.d/n2wbackup.conf")

    @property
    def limits(self) -> str:
        return self._at("etc/security/limits.d/n2wbackup.conf")

    @property
    def sshd(self) -> str:
        return self._at("etc/ssh/sshd_config")

    @property
    def sshd_drop_in(self) -> str:
        return self._at("etc/ssh/sshd_config.d/n2wbackup.conf")

    @property
    def profile(self) -> str:
        return self._at("etc/profile.d/n2wbackup.sh")

    @property
    def session(self) -> str:
        return self._program("n2wbackup-session")

    @property
    def keys(self) -> str:
        return self._program("n2wbackup-keys")

    def _program(self, name: str) -> str:
        return str(PurePosixPath(self.programs or self._at("usr/local/libexec")) / name)

    @property
    def launcher(self) -> str:
        return self._at("usr/local/libexec/n2wbackup-run")
