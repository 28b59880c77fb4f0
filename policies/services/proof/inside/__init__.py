"""What runs inside an opened snapshot, as shell: one text for each recipe."""

from pathlib import Path

_HERE = Path(__file__).parent


def program(recipe: str) -> bytes:
    """Return the whole program of a recipe."""
    return (_HERE / "common.sh").read_bytes() + (_HERE / f"{recipe}.sh").read_bytes()
