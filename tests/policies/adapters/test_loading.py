"""AWS's times are read quickly, and as the SDK itself would read them."""

from typing import Any

import pytest
from botocore.utils import parse_timestamp

from policies.adapters import loading

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
