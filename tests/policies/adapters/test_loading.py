"""AWS's times are read quickly, and as the SDK itself would read them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.utils import parse_timestamp

from policies.adapters import loading

ROOT = Path(__file__).resolve().parents[3]

WRITTEN = [
    "2026-11-24T22:10:00.123Z",
    "2026-11-24T22:10:00Z",
    "2026-11-24T22:10:00+02:00",
    "Tue, 24 Nov 2026 22:10:00 GMT",
    1795558200,
    1795558200.5,
]


@pytest.mark.parametrize("written", WRITTEN)
def test_a_time_is_read_as_the_sdk_reads_it(written: Any) -> None:
    found = loading.moment(written)

    assert found == parse_timestamp(written)
    assert found.tzinfo is not None


def test_what_is_no_time_is_refused_as_the_sdk_refuses_it() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        loading.moment("nonsense")


def test_a_session_reads_times_that_way() -> None:
    factory = loading.session().get_component("response_parser_factory")

    assert factory.create_parser("ec2")._timestamp_parser is loading.moment


@pytest.mark.parametrize(
    ("kind", "loads", "unwanted"),
    [
        ("", "policies.tasks, policies.urls", "boto3 botocore apprise"),
        (
            "from n2wbackup.lib import programs; programs.without_pages(); ",
            "policies.tasks",
            "boto3 botocore apprise requests",
        ),
    ],
    ids=["with pages", "without pages"],
)
def test_a_process_that_does_not_call_aws_does_not_load_the_sdk(
    kind: str, loads: str, unwanted: str
) -> None:
    program = (
        f"{kind}import sys, django; django.setup(); import {loads}; "
        f"print(sorted(set({unwanted.split()}) & set(sys.modules)))"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "n2wbackup.settings.test",
    }

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip

    assert done.stdout == "[]\n"
