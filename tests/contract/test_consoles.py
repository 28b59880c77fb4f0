"""What the consoles of instances show: the account in memory and the simulated AWS say the same."""

import pytest

from policies.domain.errors import NotFoundError, RejectedError
from tests.contract.clouds import REGION, Ground


def test_the_output_of_a_console_is_given_as_it_was_at_the_start_and_as_it_is_now(
    ground: Ground,
) -> None:
    silent, *_ = ground.add_instance(volumes=1)
    talking, *_ = ground.add_instance(volumes=1)
    ground.set_console(talking, "ec2: SHA256:one (ED25519)\n\u00e9", "login:")

    assert ground.cloud.console_output(REGION, silent, latest=False) == ""
    assert "SHA256:one" in ground.cloud.console_output(REGION, talking, latest=False)
    assert ground.cloud.console_output(REGION, talking, latest=True) == "login:"


def test_an_older_type_of_instance_does_not_tell_its_console_now(ground: Ground) -> None:
    old, *_ = ground.add_instance(volumes=1)
    ground.set_console(old, "early", None)

    assert ground.cloud.console_output(REGION, old, latest=False) == "early"
    with pytest.raises(RejectedError, match=old):
        ground.cloud.console_output(REGION, old, latest=True)


@pytest.mark.parametrize("wrong", ["i-0123456789abcdef0", "nonsense"])
def test_the_console_of_an_instance_that_is_absent_is_refused(ground: Ground, wrong: str) -> None:
    with pytest.raises(NotFoundError, match=wrong):
        ground.cloud.console_output(REGION, wrong, latest=False)
