"""What killed images have left behind on this server, looked for at its start and then regularly."""

import logging
from pathlib import Path

from django.conf import settings

from n2wbackup.lib import home
from policies.adapters import session

log = logging.getLogger(__name__)


class Reaper:
    """Looks once where nothing is open, and regularly while a folder of an image is there."""

    def __init__(self) -> None:
        """It has not looked yet: a machine that was switched off may have left something."""
        self._has_looked = False

    def turn(self) -> int:
        """Remove what is left; return of how many images. It does nothing on a server that never opened one."""
        place = Path(settings.N2W_HOME) / "images"
        if not place.is_dir():
            return 0
        if self._has_looked and not any(each.is_dir() for each in home.images().iterdir()):
            return 0
        found = session.images().reap()
        self._has_looked = True
        if found:
            log.warning("%s images had left something behind; it is removed", found)
        return found
