"""The levels of a proof, one after the other, on one snapshot. Nothing here writes a row."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NoReturn

from policies.domain import proofs
from policies.domain.errors import (
    BackupError,
    CredentialsError,
    ImageDamagedError,
    ImageError,
    NotPermittedError,
    RegionError,
    ThrottledError,
    UnreachableError,
)
from policies.domain.proofs import Findings, Level, Recipe, State
from policies.ports import Credentials
from policies.ports.blocks import Blocks
from policies.ports.images import About, Images, Order, Tree
from policies.services.proof import finding, inside

SAMPLE, SAMPLE_BELOW = 64, 4  # blocks that level 0 reads: by itself, and before higher levels
_LOOK_SECONDS = 0.2
_WRONG = re.compile(r"(?i)bad|corrupt|error|fail|would|fix|invalid|wrong|damaged")
# What says nothing about the snapshot.
_NOT_POSSIBLE = (
    ImageError,  # only ImageDamagedError, which is one of them, does
    CredentialsError,
    NotPermittedError,
    RegionError,
    ThrottledError,
    UnreachableError,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be proven. `files`: the owner's verify and start, those that there are."""

    key: str
    region: str
    snapshots: Sequence[str]
    level: Level
    recipe: str
    full: bool
    most_blocks: int
    seconds: float
    environment: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    credentials: Credentials = field(default_factory=Credentials, repr=False)


@dataclass(slots=True)
class Outcome:
    """What was found. `facts` are columns of the proof."""

    state: State = State.FAILED
    reason: str = ""
    reached: int = -1
    facts: dict[str, Any] = field(default_factory=dict)


class _EndedError(Exception):
    """The proof has its result."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


def prove(
    asked: Asked, blocks: Blocks, images: Images, tell: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Try the levels up to the one that was asked for; whatever is met is a result.

    `tell` is told each step before it begins.
    """
    found, begun, at = Outcome(), time.monotonic(), Level.READABLE
    counted = _Counted(blocks)
    try:
        for snapshot in asked.snapshots:
            found.facts["snapshot_id"] = snapshot
            at = Level.READABLE
            tell(f"Level 0: blocks of {snapshot} are listed and read.")
            _readable(asked, counted, snapshot, found)
            found.reached = Level.READABLE
            if asked.level == Level.READABLE or _higher(asked, images, snapshot, found, tell):
                break
        else:
            _end(State.NOT_POSSIBLE, _no_data(asked))
        found.state = State.PASSED
    except _EndedError as end:
        found.state, found.reason = end.state, str(end)
    except BackupError as error:
        if isinstance(error, _NOT_POSSIBLE) and not isinstance(error, ImageDamagedError):
            found.state, found.reason = State.NOT_POSSIBLE, str(error)
        else:
            at = Level(found.reached + 1)
            found.reason = f"Level {at.value} ({at.word}) failed: {error}"
    facts = found.facts
    facts["seconds"] = round(time.monotonic() - begun, 3)
    facts["blocks_read"] = facts.get("blocks_read", 0) + counted.read_blocks
    listed = facts.get("blocks_of_snapshot") or 0
    facts["cost_usd"] = proofs.cost_usd(facts["blocks_read"], 2 * listed)
    return found


class _Counted:
    """Blocks, and how many were read."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks, self.read_blocks = blocks, 0

    def read(self, region: str, snapshot: str, index: int, token: str) -> None:
        self.blocks.read(region, snapshot, index, token)
        self.read_blocks += 1


def _readable(asked: Asked, counted: _Counted, snapshot: str, found: Outcome) -> None:
    listing = counted.blocks.listed(asked.region, snapshot)
    known = list(islice(listing.blocks, asked.most_blocks + 1))
    found.facts["blocks_of_snapshot"] = len(known)
    if len(known) > asked.most_blocks and asked.full:
        cost = proofs.cost_usd(len(known), len(known))
        _end(
            State.NOT_POSSIBLE,
            f"{snapshot} has more than {asked.most_blocks} blocks (${cost:.2f}), and a proof reads no more: raise "
            "N2W_PROOF_BLOCKS, or read a sample.",
        )
    size = SAMPLE if asked.level == Level.READABLE else SAMPLE_BELOW
    chosen = known if asked.full else random.sample(known, min(size, len(known)))
    for index, token in chosen:
        counted.read(asked.region, snapshot, index, token)


def _higher(
    asked: Asked, images: Images, snapshot: str, found: Outcome, tell: Callable[[str], None]
) -> bool:
    """Try level 1 and what is above it; False if the recipe's data are not in this snapshot."""
    why = images.why_not()
    if why:
        _end(State.NOT_POSSIBLE, why)
    tell(f"Level 1: {snapshot} is opened, its journal replayed, and its file system checked.")
    before = found.facts.get("blocks_read", 0)
    with _opened(asked, images, snapshot) as tree:
        try:
            about = tree.about()
            _facts(found, about, before)
            _check(tree, about, asked.seconds / 2)
            found.reached = Level.MOUNTS
            if asked.level == Level.MOUNTS:
                return True
            path = finding.data_folder(tree, asked.recipe)
            if path is None:
                return False
            tell(f"Level 2: {proofs.WORDS.get(asked.recipe, asked.recipe)} is started on it.")
            _start(asked, tree, about, path, found)
        finally:
            with suppress(BackupError):
                _facts(found, tree.about(), before)
    return True


@contextmanager
def _opened(asked: Asked, images: Images, snapshot: str) -> Iterator[Tree]:
    tree = images.opened(
        Order(asked.key, asked.region, snapshot, asked.credentials, seconds=asked.seconds)
    )
    try:
        yield tree
    finally:
        tree.close()


def _check(tree: Tree, about: About, seconds: float) -> None:
    """Let the file system's own checker look at what the replayed journal has left."""
    ran = tree.checked(seconds)
    if ran.exit == 0:
        return
    if ran.late:
        why = f"its {about.file_system} was not checked within {seconds:.0f} s: raise N2W_PROOF_SECONDS"
        _end(State.NOT_POSSIBLE, f"Level 1 (mounts) was not finished: {why}.")
    said = (ran.stdout + b"\n" + ran.stderr).decode("utf-8", "replace")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = next((line for line in lines if _WRONG.search(line)), lines[-1] if lines else "")
    raise ImageDamagedError(
        f"its {about.file_system} was mounted, and its checker finds it damaged (exit code {ran.exit}): {wrong[:200]}"
    )


def _facts(found: Outcome, about: About, before: int) -> None:
    found.facts |= {
        "file_system": about.file_system,
        "replay_bytes": about.replay_bytes if about.replay_bytes >= 0 else None,
        "blocks_read": before + about.blocks_read,
        "blocks_of_snapshot": about.blocks_of_snapshot,
    }


def _start(asked: Asked, tree: Tree, about: About, path: bytes, found: Outcome) -> None:
    """Start the application, and read what it says: levels 2 and 3."""
    data = f"{about.root}/{path.decode('utf-8', 'surrogateescape')}".rstrip("/")
    uid = 0 if asked.recipe == Recipe.FILES else tree.stat(path).uid
    environment = {
        **asked.environment,
        "N2W_PROOF_MOUNT": about.root,
        "N2W_PROOF_DATA": data,
        "N2W_PROOF_RECIPE": asked.recipe,
        "N2W_PROOF_SECONDS": str(int(max(10, asked.seconds / 2))),
    }
    files = {"start.sh": inside.program(asked.recipe), **asked.files}
    words = [f"/proof/{name}" if name in asked.files else "" for name in ("verify", "start")]
    argv = ["bash", "/proof/start.sh", *words]
    number = tree.started(argv, env=environment, uid=uid, seconds=asked.seconds, files=files)
    while (ran := tree.said(number)).exit is None:
        if tree.about().blocks_read > asked.most_blocks:
            tree.ended(number, 1)
            _end(
                State.NOT_POSSIBLE,
                f"It read more than {asked.most_blocks} blocks before it came to an end: raise N2W_PROOF_BLOCKS.",
            )
        time.sleep(_LOOK_SECONDS)
    said = proofs.findings(ran.stdout.decode("utf-8", "replace"))
    errors = ran.stderr.decode("utf-8", "replace").splitlines()[-20:]
    found.facts["output"] = "\n".join([*said.printed, *errors])[-proofs.OUTPUT :]
    found.facts |= _of_findings(said)
    _judge(asked, said, found, late=ran.late)


def _of_findings(said: Findings) -> dict[str, Any]:
    return {
        "server": said.server[:200],
        "redo_bytes": said.redo_bytes,
        "redo": said.redo,
        "mark": said.mark,
    }


def _judge(asked: Asked, said: Findings, found: Outcome, *, late: bool) -> None:
    if said.lacks:
        _end(State.NOT_POSSIBLE, f"{said.lacks}.")
    needs_start = asked.recipe != Recipe.FILES or "start" in asked.files
    if said.down or (needs_start and not said.is_up):
        why = said.down or ("its time was over" if late else "it said nothing: see its output")
        _end(State.FAILED, f"Level 2 (starts) failed: {why}.")
    if not needs_start and asked.level == Level.STARTS:
        _end(State.NOT_POSSIBLE, _NOTHING_TO_START)
    found.reached = Level.STARTS
    if asked.level < Level.AGREES:
        return
    why = "its time was over" if late else proofs.disagreement(said)
    if why:
        _end(State.FAILED, f"Level 3 (agrees) failed: {why}.")
    found.reached = Level.AGREES


_NOTHING_TO_START = (
    "The policy has no start_<policy> script, and files alone are no application that starts: add one, or ask for "
    "level 1 or 3."
)


def _no_data(asked: Asked) -> str:
    word = proofs.WORDS.get(asked.recipe, asked.recipe)
    return f"No data folder of {word} was found in {', '.join(asked.snapshots)}: name the right snapshot or recipe."


def _end(state: State, reason: str) -> NoReturn:
    raise _EndedError(state, reason)
