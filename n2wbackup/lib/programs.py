"""What the program that runs here is: said by its entry point, before the settings are read."""

# A worker, the watchdog and commands that only look need no login, so they load nothing of it.
has_pages = True


def without_pages() -> None:
    """Say that this process neither serves pages nor changes users."""
    global has_pages  # noqa: PLW0603 - one fact of the process, set once at its start
    has_pages = False
