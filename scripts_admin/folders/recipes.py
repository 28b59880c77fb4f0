"""The recipes that come with the server, read from where people read about them: docs/recipes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from scripts_admin.domain import recipes
from scripts_admin.domain.recipes import Setting

_BEFORE = f"before_{recipes.POLICY}.sh"
_CONF = ".conf"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A set of files. `slug` names it in an address; `about` is its page, as text; `conf` is the file to fill in."""

    slug: str
    title: str
    variant: str
    about: str
    conf: str
    files: Mapping[str, str]

    @property
    def settings(self) -> list[Setting]:
        return recipes.settings(self.files[self.conf])


def every() -> list[Recipe]:
    """Return all recipes: a folder that has a before is one, or a variant of the one above."""
    root = Path(settings.BASE_DIR) / "docs" / "recipes"
    return [_read(root, found.parent) for found in sorted(root.glob(f"**/{_BEFORE}"))]


def named(slug: str) -> Recipe | None:
    return next((each for each in every() if each.slug == slug), None)


def _read(root: Path, place: Path) -> Recipe:
    subject = root / place.relative_to(root).parts[0]
    files = {
        path.name: path.read_text(encoding="utf-8")
        for folder in dict.fromkeys((subject, place))
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix != ".md"
    }
    about = (subject / "README.md").read_text(encoding="utf-8")
    return Recipe(
        "-".join(place.relative_to(root).parts),
        about.partition("\n")[0].removeprefix("# "),
        "" if place == subject else place.name.replace("-", " "),
        about,
        next(name for name in files if name.endswith(_CONF)),
        files,
    )


def made(recipe: Recipe, policy: str, values: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files of the policy's own set, filled in with the values."""
    texts = dict(recipe.files)
    texts[recipe.conf] = recipes.filled(texts[recipe.conf], values)
    return {
        recipes.own_name(name, policy): recipes.own_text(text, recipe.files, policy).encode()
        for name, text in texts.items()
    }
