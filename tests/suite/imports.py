"""Which tests need Django: told by their imports, so that the others start without it."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWN = ("tests.", "policies.", "scripts_admin.", "n2wbackup.")
DJANGO = {"django", "pytest_django", "celery"}


def need_django(paths: Iterable[Path]) -> bool:
    """Whether a test file at or below the paths, or a conftest.py above, reaches Django.

    Imports are followed through the files of this tree, those inside functions too.
    """
    seen: set[Path] = set()
    waiting = [file for path in paths for file in _test_files(path)]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for module in _modules(file):
            if module.partition(".")[0] in DJANGO:
                return True
            waiting += _files(module)
    return False


def _test_files(path: Path) -> Iterator[Path]:
    yield from path.rglob("test_*.py") if path.is_dir() else [path]
    yield from path.rglob("conftest.py")
    for folder in path.parents:
        if folder != ROOT / "tests" and folder.is_relative_to(ROOT):
            yield from folder.glob("conftest.py")


def _modules(file: Path) -> Iterator[str]:
    """Name every module that a file may import; `from a import b` may mean the module a.b."""
    text = file.read_text()
    package = [*file.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            yield origin
            yield from (f"{origin}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).startswith(OWN):
            yield str(node.value)  # plugins, and what is patched, are named in strings


def _files(module: str) -> Iterator[Path]:
    """Give the files that are run when the module is imported: its packages' and its own."""
    path = ROOT
    for part in module.split("."):
        path /= part
        yield from (
            file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()
        )
