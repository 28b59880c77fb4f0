"""What scripts say: capped, masked, and kept only where that is wanted."""

from scripts_admin.domain.phases import Phase
from scripts_admin.guard import journal
from scripts_admin.guard.capture import LIMIT_BYTES
from tests.scripts_admin.guard.stage import SECONDS, SECRET, Stage, keep

AFTER = 'echo "after $1" >> marks'


def test_output_is_capped_and_the_cut_is_marked(stage: Stage) -> None:
    stage.script("before", "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo last")
    stage.script("after", AFTER)

    keep(stage)

    text = stage.attempt(Phase.BEFORE).stdout
    assert text.startswith("first\n")
    assert text.endswith("last\n")
    assert "bytes cut" in text
    assert len(text.encode()) < LIMIT_BYTES + 100


def test_secrets_are_masked_before_anything_is_written_down(stage: Stage) -> None:
    secret = SECRET.decode()
    stage.script("before", f"printf %s {secret[:9]}; sleep 0.1; echo {secret[9:]}; echo {secret}")
    stage.script("after", f"echo {secret} >&2; exit 1")

    keep(stage)

    assert stage.attempt(Phase.BEFORE).stdout == "[masked]\n[masked]\n"
    assert stage.attempt(Phase.AFTER).stderr == "[masked]\n"
    assert SECRET not in (stage.runtime / journal.NAME).read_bytes()


def test_output_that_shall_not_be_collected_is_written_nowhere(stage: Stage) -> None:
    stage.script("before", "echo hello")
    stage.script("after", "echo hello; exit 4")

    with stage.guarded(stage.record(collect_output=False)) as guard:
        guard.go()
        guard.before(SECONDS)
        guard.thaw(SECONDS)
        guard.wait_until_over(SECONDS)

    assert stage.attempt(Phase.AFTER).exit_code == 4
    assert stage.attempt(Phase.BEFORE).stdout == ""
    assert b"hello" not in (stage.runtime / journal.NAME).read_bytes()
