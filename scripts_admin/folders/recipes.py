"""The recipes that come with the server, read from where people read about them: docs/recipes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from scripts_admin.domain import recipes, remote
from scripts_admin.domain.recipes import Setting

_BEFORES = (f"before_{recipes.POLICY}.sh", f"before_{recipes.POLICY}{remote.AT}{remote.ALL}.sh")
_CONF = ".conf"
_ON_INSTANCE = "on-the-instance"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A set of files. `slug` names it in an address; `about` is its page, as text; `conf` is the file to fill in.

    `files` are what its folders hold, `scripts` the names of what is made of them.
    """

    slug: str
    subject: str
    title: str
    variant: str
    about: str
    conf: str
    files: Mapping[str, str]

    @property
    def settings(self) -> list[Setting]:
        return recipes.settings(self.files[self.conf])

    @property
    def is_on_instance(self) -> bool:
        """Tell whether its scripts run on instances: each is then one file, with all that it needs."""
        return any(remote.AT in name for name in self.files)

    @property
    def where(self) -> str:
        return "on the instance" if self.is_on_instance else "on the server"

    @property
    def scripts(self) -> list[str]:
        return [name for name in self.files if remote.AT in name or not self.is_on_instance]


def every() -> list[Recipe]:
    """Return all recipes: a folder that has a before is one, or a variant of the one above."""
    root = Path(settings.BASE_DIR) / "docs" / "recipes"
    found = sorted(path.parent for name in _BEFORES for path in root.glob(f"**/{name}"))
    return [_read(root, place) for place in found]


def named(slug: str) -> Recipe | None:
    return next((each for each in every() if each.slug == slug), None)


def variants(recipe: Recipe) -> list[Recipe]:
    """Return all recipes of the same subject, this one too; those that run on the server come first."""
    found = [each for each in every() if each.subject == recipe.subject]
    return sorted(found, key=lambda each: each.is_on_instance)


def _read(root: Path, place: Path) -> Recipe:
    subject = root / place.relative_to(root).parts[0]
    texts = _texts(place)
    if place != subject:
        # What lies above is for all variants, but for the scripts and settings of one that has no folder.
        own = {name: text for name, text in _texts(subject).items() if recipes.POLICY not in name}
        texts = {name: text for name, text in own.items() if not name.endswith(_CONF)} | texts
    about = (subject / "README.md").read_text(encoding="utf-8")
    return Recipe(
        "-".join(place.relative_to(root).parts),
        subject.name,
        about.partition("\n")[0].removeprefix("# "),
        "" if place == subject or place.name == _ON_INSTANCE else place.name.replace("-", " "),
        about,
        next(name for name in texts if name.endswith(_CONF)),
        texts,
    )


def _texts(place: Path) -> dict[str, str]:
    files = (path for path in sorted(place.iterdir()) if path.is_file() and path.suffix != ".md")
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def made(
    recipe: Recipe, policy: str, values: Mapping[str, str], instance: str = remote.ALL
) -> dict[str, bytes]:
    """Return the files of the policy's own set, filled in with the values.

    Scripts that run on instances are for one, or for all that have none of their own.
    """
    texts = dict(recipe.files)
    texts[recipe.conf] = recipes.filled(texts[recipe.conf], values)
    if recipe.is_on_instance:
        return {
            recipes.own_name(name, policy, instance): recipes.in_one(texts[name], texts).encode()
            for name in recipe.scripts
        }
    return {
        recipes.own_name(name, policy): recipes.own_text(text, recipe.files, policy).encode()
        for name, text in texts.items()
    }
