"""What `ps` shows: `n2wbackup web`, `n2wbackup worker freeze`, `n2wbackup guard <run uuid>`."""

from setproctitle import setproctitle


def show(role: str) -> None:
    """Set the title of this process to `n2wbackup <role>`. No secrets: every user of the machine can read it."""
    setproctitle(f"n2wbackup {role}")
