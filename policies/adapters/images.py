"""Snapshots opened as images by this server."""

from policies.adapters.folder_images import FolderImages


class HomeImages(FolderImages):
    """Opens nothing yet."""

    def __init__(self) -> None:
        """Nothing can be opened."""
        super().__init__()
        self.missing = "This release opens no snapshots."
