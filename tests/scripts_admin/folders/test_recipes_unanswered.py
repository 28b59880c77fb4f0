"""A database server that does not answer before's client in time: before says so in words, and holds nothing."""

import subprocess
from pathlib import Path

import pytest

from tests.ground.leeway import LEEWAY

RECIPES = Path(__file__).parents[3] / "docs" / "recipes"
FACTS = "facts 1 2 3 0/1 000000010000000000000001 160000 f on on"
# It is started, and says nothing at all: not even why.
SILENT = "#!/bin/sh\nexec sleep 1000\n"
TELLS_FACTS = f"#!/bin/sh\ncase $* in *\"'facts'\"*) echo '{FACTS}' ;; *) exec sleep 1000 ;; esac\n"


@pytest.mark.parametrize(
    ("recipe", "client", "says"),
    [
        ("postgresql", SILENT, "nothing is held: no answer came in time"),
        (
            "postgresql",
            TELLS_FACTS,
            "nothing is held: no session could be opened: no answer came in time",
        ),
        (
            "mariadb",
            SILENT,
            "nothing is locked: no session could be opened: no answer came in time",
        ),
    ],
)
def test_before_says_that_no_answer_came(
    tmp_path: Path, recipe: str, client: str, says: str
) -> None:
    program, options = tmp_path / "client", tmp_path / "options"
    program.write_text(client)
    program.chmod(0o755)
    options.touch(mode=0o600)

    ended = subprocess.run(
        ["bash", str(RECIPES / recipe / f"{recipe}-session.sh"), "before"],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(tmp_path),
            "N2W_RUN_ID": "a-run",
            "N2W_TIMEOUT_SECONDS": "2",  # before waits for half of it
            "client": str(program),
            "method": "backup" if recipe == "postgresql" else "auto",
            "service_file": str(options),
            "option_file": str(options),
            "state_folder": str(tmp_path / "state"),
            "data_folder": "",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=LEEWAY,
    )

    assert (ended.returncode, ended.stderr) == (1, f"{recipe}: {says}\n")
    assert not (tmp_path / "state" / "hold").exists()
