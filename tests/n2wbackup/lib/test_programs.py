"""A process without pages loads nothing of the login: neither its modules nor, by a check, the pages."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COSTLY = "sorted({name.partition('.')[0] for name in sys.modules} & {'allauth', 'fido2', 'qrcode'})"


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "n2wbackup.settings.test"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


def test_commands_without_pages_load_no_login() -> None:
    code = (
        "import sys, contextlib\n"
        "from n2wbackup import command_line\n"
        "from django.core.management import load_command_class\n"
        "for name in sorted(command_line.without_pages()):\n"
        "    with contextlib.suppress(SystemExit): command_line.main(['manage.py', name, '--help'])\n"
        "    command = load_command_class('policies', name)\n"
        "    if command.requires_system_checks == '__all__': command.check()\n"
        f"print({COSTLY})"
    )

    assert run(code) == "[]"


def test_a_worker_loads_no_login() -> None:
    code = (
        "import sys\n"
        "from n2wbackup import __main__\n"
        "__main__.worker = lambda *_: 0\n"
        "__main__.main('worker', 'work', '1')\n"
        "import django; django.setup()\n"
        "import policies.tasks, n2wbackup.celery\n"
        f"print({COSTLY})"
    )

    assert run(code) == "[]"


def test_the_pages_have_their_login() -> None:
    code = f"import sys, django; django.setup(); import n2wbackup.urls; print({COSTLY})"

    assert "allauth" in run(code)
