"""A recipe's scripts for instances, through the wrapper that is sent there: by SSM's two commands, and by SSH."""

import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts_admin.folders import recipes
from scripts_admin.runners import far, ssm_texts
from tests.ground import far_side
from tests.ground.far_side import SYSTEM_PATH
from tests.ground.leeway import LEEWAY


@dataclass(frozen=True)
class Told:
    """What the far side told: how both scripts ended, who thawed, and what they printed."""

    before: far.Before
    thawing: far.Thawing
    after: far.After
    outputs: Mapping[str, str]


def order(slug: str, settings: Mapping[str, str | Path]) -> far.Order:
    """Return the order with the scripts of this recipe, filled in with these settings."""
    recipe = recipes.named(slug)
    assert recipe is not None, slug
    texts = recipes.made(recipe, "shop", {name: str(value) for name, value in settings.items()})
    scripts = {
        phase: far.Carried(f"{phase}_shop@all.sh", texts[f"{phase}_shop@all.sh"])
        for phase in ("before", "after")
    }
    run = secrets.token_hex(8)
    environment = {"N2W_RUN_ID": run, "N2W_POLICY": "shop"}
    nonce = secrets.token_hex(16)
    return far.Order(
        nonce, scripts["before"], scripts["after"], environment, max_freeze=LEEWAY, silence=LEEWAY
    )


def by_ssm(of: far.Order, meanwhile: Callable[[], object]) -> Told:
    """Run it by two commands, each until nobody holds its output any more, as the agent does."""
    with far_side.cleared(of):
        first = _command(of, ssm_texts.arming(of))
        before = _of(first, far.Before)
        assert before.code == 0, _command(of, ssm_texts.thawing(of, "0"))
        meanwhile()
        words = _command(of, ssm_texts.thawing(of, "1"))
    shown = {
        f"{out.phase}.{out.stream}": out.head.decode() for out in words if isinstance(out, far.Out)
    }
    return Told(before, _of(words, far.Thawing), _of(words, far.After), shown)


def by_ssh(of: far.Order, meanwhile: Callable[[], object]) -> Told:
    """Run it through one channel, as sshd gives it to the wrapper."""
    with _started(of) as side:
        before = side.freezes()
        if before.code == 0:
            meanwhile()
        side.say(far.thaw("1"))
        thawing, after = side.hears(far.Thawing), side.hears(far.After)
        side.hears(far.Over)
        shown = {name.replace(".1.", "."): text.decode() for name, text in side.outputs().items()}
        assert before.code == 0, shown
        return Told(before, thawing, after, shown)


@contextmanager
def _started(of: far.Order) -> Iterator[far_side.FarSide]:
    with far_side.started(SYSTEM_PATH, of) as side:
        yield side


def _command(of: far.Order, text: str) -> list[far.Word]:
    """Run a command without a home, as the agent's service may have none."""
    done = subprocess.run(
        ["sh", "-c", text],
        env={"PATH": SYSTEM_PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=LEEWAY,
    )
    return far.words(done.stdout, of.nonce)


def _of(words: list[far.Word], kind: type[far_side.W]) -> far_side.W:
    found = next((word for word in words if isinstance(word, kind)), None)
    assert found is not None, words
    return found
