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
        *("arn:aws-mars:iam::123456789012:role/x", "arn:aws:iam:us-east-1:123456789012:role/x"),
        *("arn:aws:iam::123456789012:role/x y", "arn:aws:iam::123456789012:role/x\n"),
        *("arn:aws:iam::123456789012:role/*", f"arn:aws:iam::123456789012:role/{'x' * 65}"),
    ],
)
def test_what_is_no_arn_of_a_role(text: str) -> None:
    assert not identifiers.is_role_arn(text)


@pytest.mark.parametrize(("partition", "region"), sorted(identifiers.PARTITIONS.items()))
def test_every_partition_of_aws_has_roles_and_regions(partition: str, region: str) -> None:
    arn = f"arn:{partition}:iam::123456789012:role/n2wbackup"

    assert identifiers.is_role_arn(arn)
    assert identifiers.partition_of_role(arn) == partition
    assert identifiers.is_region(region)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ASIAIOSFODNN7EXAMPLE", "is the id of a temporary session's key, which expires within"),
        ("AIDAIOSFODNN7EXAMPLE", "is the id of a user, not of an access key"),
        ("AROAIOSFODNN7EXAMPLE", "is the id of a role, not of an access key"),
        ("AIPAIOSFODNN7EXAMPLE", "is the id of an instance profile"),
        ("AKIA\N{HORIZONTAL ELLIPSIS}", "is a placeholder: enter the access key id"),
        ("AKIA...", "is a placeholder"),
        ("<your-key>", "is a placeholder"),
    ],
)
def test_what_is_no_long_term_access_key_says_what_it_is(text: str, why: str) -> None:
    assert identifiers.why_no_access_key_id(text).startswith(why)


@pytest.mark.parametrize("text", ["AKIAIOSFODNN7EXAMPLE", "AKIAX", "A", "test", "minioadmin"])
def test_keys_of_aws_and_of_those_who_speak_its_language_are_taken(text: str) -> None:
    assert identifiers.why_no_access_key_id(text) == ""


@pytest.mark.parametrize(
    "text", ["\N{HORIZONTAL ELLIPSIS}", "...", "<secret>", "two words", "AKIAIOSFODNN7EXAMPLE"]
)
def test_what_is_no_secret_is_told_without_it(text: str) -> None:
    why = identifiers.why_no_secret(text)

    assert "enter the secret that AWS showed" in why
    assert text not in why


@pytest.mark.parametrize(
    ("arn", "what"),
    [
        ("arn:aws:iam::123456789012:user/x", "names a user"),
        ("arn:aws:iam::123456789012:instance-profile/x", "names an instance profile"),
        ("arn:aws:sts::123456789012:assumed-role/x/y", "names an assumed role"),
        ("arn:aws:iam::123456789012:role/", ""),
        ("nonsense", ""),
    ],
)
def test_an_arn_of_something_else_says_what_it_names(arn: str, what: str) -> None:
    assert identifiers.why_no_role_arn(arn) == what


@pytest.mark.parametrize("text", ["lab", "Zürich 東京", "⚠️ prod"])
def test_a_label_is_what_people_can_see(text: str) -> None:
    assert identifiers.is_label(text)


@pytest.mark.parametrize(
    "text", ["", " lab", "a/b", "a\x1b", "a\u202eb", "a\u200bb", "\u3164", "a\u2800", "a\ufe01"]
)
def test_a_label_hides_nothing(text: str) -> None:
    assert not identifiers.is_label(text)
