"""A window on the far side: the scripts stand at gates, run in their order, and say what they did."""

from dataclasses import replace
from pathlib import Path

from scripts_admin.runners import far
from tests.ground import far_side, processes
from tests.ground.far_side import in_each_shell, order


@in_each_shell
def test_both_scripts_run_and_nothing_stays(path: str, ledger: Path) -> None:
    both = order(f"echo before $# >>{ledger}", f"echo after $1 >>{ledger}")
    with far_side.started(path, both) as side:
        side.is_ready()
        assert ledger.read_text() == ""
        side.goes()
        assert side.hears(far.Before).code == 0
        side.say(far.thaw("1"))
        thawing = side.hears(far.Thawing)
        assert (thawing.by, thawing.argument) == ("worker", "1")
        assert side.hears(far.After) == far.After(1, 0, far.By.WORKER)
        assert side.hears(far.Over) == far.Over(far.By.WORKER)
        side.say(far.BYE)
        side.hears_the_end()
        assert ledger.read_text() == "before 0\nafter 1\n"
        assert side.leaves_nothing()
        assert not list(side.folder.glob("scripts/*"))


@in_each_shell
def test_a_script_that_fails_gets_its_code_told_and_after_gets_0(path: str, ledger: Path) -> None:
    with far_side.started(path, order("exit 7", f"echo after $1 >>{ledger}")) as side:
        assert side.freezes().code == 7
        side.say(far.thaw("1"))
        assert side.hears(far.Thawing).argument == "0"
        side.hears(far.Over)
        assert ledger.read_text() == "after 0\n"


@in_each_shell
def test_scripts_have_a_clean_environment_and_no_ignored_signals(path: str) -> None:
    shown = (
        "env | sort; pwd; grep SigIgn /proc/self/status; ls -l /proc/self/fd | wc -l; echo oops >&2"
    )
    with far_side.started(path, order(shown, shown)) as side:
        side.freezes()
        side.say(far.thaw("1"))
        side.hears(far.Over)
        outputs = side.outputs()
        before = outputs["before.1.stdout"].decode()
        for line in ("N2W_RUN_ID=a-run", "N2W_POLICY=shop", "N2W_PHASE=before", "N2W_ATTEMPT=1"):
            assert line in before
        assert "N2W_TIMEOUT_SECONDS=30" in before
        assert "N2W_SECONDS_LEFT=60" in before
        assert f"\n{side.folder}/scripts\n" in before
        # busybox' env cannot undo what its shell ignores for a process in the background.
        kept = {2, 3} if path.partition(":")[0].endswith("busybox") else set()
        assert processes.held_back(before) == {"SigIgn": kept}
        assert (
            before.splitlines()[-1].strip() == "5"
        )  # total, 0, 1, 2, and the folder that ls reads
        assert "n2w_" not in before
        assert outputs["before.1.stderr"] == b"oops\n"
        assert b"N2W_PHASE=after" in outputs["after.1.stdout"]


@in_each_shell
def test_a_script_of_another_language_arrives_byte_for_byte(path: str, ledger: Path) -> None:
    strange = bytes(set(range(1, 256)) - {10}) + b"'\\%s %% \\n $(x) `x`"
    text = (
        b"#!/usr/bin/env python3\nimport sys\n# "
        + strange.replace(b"\r", b"")
        + b"\nopen(sys.argv[1], 'w').write('x')\n"
    )
    text = text.replace(b"\n# ", b"\n# -*- coding: latin-1 -*-\n# ", 1)
    both = order(after="true")
    carried = far.Carried("before_shop@i-1.py", text)
    with far_side.started(path, replace(both, before=carried)) as side:
        side.is_ready()
        assert (side.folder / "scripts" / carried.name).read_bytes() == text


@in_each_shell
def test_a_path_on_the_instance_is_executed_as_it_is(
    path: str, tmp_path: Path, ledger: Path
) -> None:
    there = tmp_path / "freeze it's"
    there.write_text(f"#!/bin/sh\necho there $N2W_PHASE >>{ledger}\n")
    there.chmod(0o755)
    of = replace(order(after=None), before=far.Installed(str(there)))
    with far_side.started(path, of) as side:
        assert side.freezes().code == 0
        side.say(far.thaw("1"))
        assert side.hears(far.Over).by == "worker"
        assert ledger.read_text() == "there before\n"


@in_each_shell
def test_without_before_after_still_gets_1(path: str, ledger: Path) -> None:
    with far_side.started(path, order(None, f"echo after $1 >>{ledger}")) as side:
        assert side.freezes().code == 0
        side.say(far.thaw("1"))
        side.hears(far.Over)
        assert ledger.read_text() == "after 1\n"


@in_each_shell
def test_what_a_left_behind_child_prints_is_kept_and_keeps_nobody(path: str) -> None:
    # It holds the lock and both outputs until after ends it.
    before = "(trap 'exit 0' TERM; while :; do sleep 0.05; done) & echo $! >holder; echo locked"
    after = "kill $(cat holder); echo released"
    with far_side.started(path, order(before, after)) as side:
        assert side.freezes().code == 0
        side.say(far.thaw("1"))
        assert side.hears(far.After).code == 0
        side.hears(far.Over)
        outputs = side.outputs()
        assert outputs["before.1.stdout"] == b"locked\n"
        assert outputs["after.1.stdout"] == b"released\n"


@in_each_shell
def test_an_endless_child_is_left_alone_but_its_output_is_not_waited_for(path: str) -> None:
    with far_side.started(path, order("echo locked; sleep 1000 &", "true")) as side:
        side.freezes()
        side.say(far.thaw("1"))
        side.hears(far.Over)
        assert side.outputs()["before.1.stdout"] == b"locked\n"
        side.say(far.BYE)
        side.hears_the_end()


@in_each_shell
def test_a_flood_of_output_is_cut_in_the_middle_and_stops_nobody(path: str) -> None:
    flood = "echo first; head -c 5000000 /dev/zero; echo last; exec >&- 2>&-; sleep 0.1"
    with far_side.started(path, order(flood, "true")) as side:
        assert side.freezes().code == 0
        side.say(far.thaw("1"))
        side.hears(far.Over)
        shown = side.outputs()["before.1.stdout"]
        assert shown.startswith(b"first\n\0\0")
        assert shown.endswith(b"\0\0last\n")
        cut = 5000000 + len("first\nlast\n") - 2 * far.HALF_BYTES
        assert b"[%d]" % cut in shown
        assert (
            sum(file.stat().st_size for file in side.folder.glob("*.std*"))
            < 6 * far.HALF_BYTES + 100
        )
