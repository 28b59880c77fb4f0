"""The watch of the soak: who is frozen for too long, or twice, is told at once. And the plan of what strikes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tests.system.soak import evidence, faults, striking, watching
from tests.system.soak.estate import Estate
from tests.system.soak.judge_growth import MIB
from tests.system.soak.made_up import T0
from tests.system.soak.watching import LIMIT_SECONDS, Watch


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    nobody = cast("Any", None)
    return Watch(Estate(nobody, tmp_path, tmp_path, *[nobody] * 3), lambda _: None)


def freeze(watch: Watch, name: str, at: float) -> None:
    path = watch.estate.frozen / name
    path.touch()
    os.utime(path, (at, at))


def test_who_is_frozen_for_too_long_is_told_once(watch: Watch) -> None:
    freeze(watch, "one.a", T0)

    watch._look_at_frozen(T0 + LIMIT_SECONDS)
    assert watch.wrong == []
    watch._look_at_frozen(T0 + LIMIT_SECONDS + 1)
    watch._look_at_frozen(T0 + LIMIT_SECONDS + 2)

    assert watch.wrong == [
        f"one.a is frozen for {LIMIT_SECONDS + 1} s, more than {LIMIT_SECONDS} s"
    ]
    assert watch.frozen_seconds == {"one.a": LIMIT_SECONDS + 2}


def test_a_policy_that_is_frozen_by_two_runs_is_told(watch: Watch) -> None:
    freeze(watch, "one.a", T0)
    freeze(watch, "two.b", T0)
    watch._look_at_frozen(T0 + 1)
    assert (watch.wrong, watch.most_frozen) == ([], 2)

    freeze(watch, "one.c", T0)
    watch._look_at_frozen(T0 + 2)

    (sentence,) = watch.wrong
    assert sentence.startswith("one is frozen by two runs at a time")


def test_a_watch_that_breaks_is_no_peace(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(watch, "_look_at_frozen", broken)
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.0)

    with pytest.raises(ZeroDivisionError):
        watch._look()

    assert watch.wrong == ["the watch itself ended: ZeroDivisionError: "]


def test_the_time_in_which_everything_was_dead_is_not_counted() -> None:
    down = [(T0 + 10, T0 + 15), (T0 + 40, None)]

    assert watching.counted(T0, T0 + 8, down) == 8
    assert watching.counted(T0, T0 + 20, down) == 15
    assert watching.counted(T0 + 12, T0 + 50, down) == 25
    assert watching.counted(T0 + 20, T0 + 30, down) == 10


def test_a_seed_decides_what_strikes_when() -> None:
    planned = striking.plan(7, 1800)

    assert planned == striking.plan(7, 1800)
    assert planned != striking.plan(8, 1800)
    assert len(planned) == 180
    assert {one.fault for one in planned[:40]} == set(faults.FAULTS)
    assert [one.at for one in planned] == sorted(one.at for one in planned)
    assert all(one.fault.spares for one in planned if one.at >= 1200)


HOLDER = """
import sys
from setproctitle import setproctitle
setproctitle("n2wbackup web")
print("small", flush=True)
sys.stdin.readline()
held = [open("/dev/null") for _ in range(30)], bytearray(b"x") * (40 * 2**20)
print("large", flush=True)
sys.stdin.readline()
"""


def test_what_a_process_holds_is_followed_and_others_are_only_remembered(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        monkeypatch.setattr(Estate, "supervised", lambda _: [holder.pid, os.getpid(), 0])
        holder.stdout.readline()
        watch._sample()
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        holder.stdout.readline()
        watch._sample()
        alive = evidence.survivors(watch)
        holder.kill()

    (stretch,) = watch.stretches.values()
    small, large = stretch.samples
    assert (stretch.kind, stretch.pid) == ("web", holder.pid)
    assert large.descriptors - small.descriptors == 30
    assert 39 * MIB < large.memory - small.memory < 60 * MIB
    assert [each.split()[0] for each in alive] == [str(holder.pid), str(os.getpid())]
    assert [each.split()[0] for each in evidence.survivors(watch)] == [str(os.getpid())]


PARENT = """
import os, signal, sys
held = bytearray(b"x") * (40 * 2**20)
for line in sys.stdin:
    if line == "fork\\n" and os.fork() == 0:
        signal.pause()
    print("done", flush=True)
"""


def test_who_has_just_forked_holds_what_it_held() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        process_group=0,
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        held = []
        for word in ("look", "fork"):
            parent.stdin.write(f"{word}\n")
            parent.stdout.readline()
            held.append(watching.own_memory(parent.pid))
        os.killpg(parent.pid, signal.SIGKILL)

    assert held[1] == pytest.approx(held[0], abs=MIB)
    assert held[0] > 40 * MIB
    assert watching.own_memory(parent.pid) == 0
