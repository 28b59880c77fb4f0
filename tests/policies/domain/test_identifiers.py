"""The shapes of AWS's names."""

import pytest

from policies.domain import identifiers


@pytest.mark.parametrize(
    ("arn", "partition"),
    [
        ("arn:aws:iam::123456789012:role/n2wbackup", "aws"),
        ("arn:aws-cn:iam::123456789012:role/a/b/n2w+=,.@-_backup", "aws-cn"),
        ("arn:aws-us-gov:iam::123456789012:role/n2wbackup", "aws-us-gov"),
    ],
)
def test_a_roles_arn_tells_its_partition(arn: str, partition: str) -> None:
    assert identifiers.is_role_arn(arn)
    assert identifiers.partition_of_role(arn) == partition


@pytest.mark.parametrize(
    "text",
    [
        *("", "role/n2wbackup", "arn:aws:iam::123456789012:role/", "arn:aws:iam::12:role/x"),
        *("arn:aws:iam::123456789012:user/x", "arn:aws:sts::123456789012:assumed-role/x/y"),
        *("arn:aws-iso:iam::123456789012:role/x", "arn:aws:iam:us-east-1:123456789012:role/x"),
        *("arn:aws:iam::123456789012:role/x y", "arn:aws:iam::123456789012:role/x\n"),
        *("arn:aws:iam::123456789012:role/*", f"arn:aws:iam::123456789012:role/{'x' * 65}"),
    ],
)
def test_what_is_no_arn_of_a_role(text: str) -> None:
    assert not identifiers.is_role_arn(text)


@pytest.mark.parametrize("text", ["lab", "Zürich 東京", "⚠️ prod"])
def test_a_label_is_what_people_can_see(text: str) -> None:
    assert identifiers.is_label(text)


@pytest.mark.parametrize(
    "text", ["", " lab", "a/b", "a\x1b", "a\u202eb", "a\u200bb", "\u3164", "a\u2800", "a\ufe01"]
)
def test_a_label_hides_nothing(text: str) -> None:
    assert not identifiers.is_label(text)
