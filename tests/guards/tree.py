"""The files of the project, for the guards."""

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The measurements that they report write them.
GENERATED = {"docs/benchmarks.md", "docs/reliability.md", "docs/soak.md"}


def _ignored_names() -> list[str]:
    """The patterns of .gitignore, which are all plain names here, without their trailing slash."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    patterns = [line.strip().rstrip("/") for line in lines if line and not line.startswith("#")]
    assert not any("/" in pattern for pattern in patterns), "the guards read plain names only"
    return [".git", *patterns]


IGNORED = _ignored_names()


def is_ignored(path: Path) -> bool:
    """Whether .gitignore keeps this file or folder out of the tree."""
    return any(fnmatch(path.name, pattern) for pattern in IGNORED)


def top_level() -> set[str]:
    """Names of the files and folders of the checkout's first level."""
    return {path.name for path in ROOT.iterdir() if not is_ignored(path)}


def files(folder: Path = ROOT) -> Iterator[Path]:
    """Every file of the project, by name. Read from disk: an unpacked archive has no git."""
    for path in sorted(folder.iterdir()):
        if is_ignored(path) or path.is_symlink():
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def texts() -> Iterator[tuple[str, str]]:
    """Path (relative to the checkout) and text of every file that is text."""
    for path in files():
        try:
            yield str(path.relative_to(ROOT)), path.read_text()
        except UnicodeDecodeError:
            continue


def sources(*suffixes: str) -> Iterator[tuple[str, str]]:
    """Like texts(), for handwritten files with these suffixes."""
    for name, text in texts():
        by_hand = "/migrations/" not in name and not name.startswith("static/vendor/")
        if by_hand and name.endswith(suffixes):
            yield name, text


def pages() -> Iterator[tuple[str, str]]:
    """Like texts(), for the handwritten pages."""
    return ((name, text) for name, text in sources(".md") if name not in GENERATED)
