"""What `ps` shows: `n2wbackup web`, `n2wbackup worker freeze`, `n2wbackup guard <run uuid>`."""

from setproctitle import setproctitle


def show(role: str) -> None:
    """Name this process `n2wbackup <role>`. No secrets: every user of the machine reads it."""
    setproctitle(f"n2wbackup {role}")
