"""The hold with and without the launcher, side by side: `python -m tests.bench.launched [TURNS]`, as root.

before and after note the time themselves: from before's last line to after's first. No call to AWS is in between.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence

from tests.ground import launcher
from tests.ground.launcher import Place

BEFORE = "#!/bin/bash\necho $EPOCHREALTIME\n"
TURNS = 20
WORDS = ("start", "go", "before", "thaw", "over", "settled", "told")


def main() -> None:
    """Take turns, so that both see the same machine, and print a table."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    held: dict[str, list[float]] = {"forked by root": [], "by the launcher": []}
    with launcher.installed("n2wl-bench") as place:
        for turn in range(turns):
            for name, times in held.items():
                times.append(_hold(place, f"{name}-{turn}".replace(" ", "-"), name))
    print("| script's process | median | p95 | longest |\n| --- | --- | --- | --- |")
    for name, times in held.items():
        ordered = sorted(1000 * each for each in times)
        found = (statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))], ordered[-1])
        print(f"| {name} | {' | '.join(f'{each:.2f} ms' for each in found)} |")


def _hold(place: Place, name: str, how: str) -> float:
    account = place.accounts[0]
    user = place.server if how == "by the launcher" else None
    home = place.view / "windows" / name
    folder = home / "folder"
    folder.mkdir(parents=True)
    if user is not None:
        os.chown(home, user.pw_uid, user.pw_gid)
    for phase in ("before", "after"):
        script = folder / f"{phase}_p.sh"
        script.write_text(BEFORE, encoding="utf-8")
        script.chmod(0o755)
    words: Sequence[str] = ("-m", "tests.ground.launched_window", str(home), account.pw_name, "{}")
    done = subprocess.run(
        place.within(place.python, *words, user=user),
        input="".join(f"{word}\n" for word in WORDS),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    told = json.loads(done.stdout.splitlines()[-1])
    return float(told["after 1"]["stdout"]) - float(told["before 1"]["stdout"])


if __name__ == "__main__":
    main()
