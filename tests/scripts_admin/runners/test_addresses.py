"""Ways to log in as values: what a spool has of them, and what it never has."""

import json
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet

from scripts_admin.hosts import keypairs
from scripts_admin.runners.addresses import Address, Connect, UnreadableWayError, Way

CIPHER = Fernet(Fernet.generate_key())
PAIR = keypairs.make()
BASTION = Address("bastion.example.org", 2222, "jump", (str(PAIR.public),), at="192.0.2.7")
ADDRESS = Address("10.0.0.5", 22, "ec2-user", (str(PAIR.public),), BASTION, sudo=True)
INSTANCE = Connect("eu-west-1", "i-0123456789abcdef0", "ec2-user", "eu-west-1a")


def seal(text: str) -> str:
    return CIPHER.encrypt(text.encode()).decode()


def unseal(token: str) -> str:
    return CIPHER.decrypt(token).decode()


WAYS = [
    Way(ADDRESS, stored=(PAIR.private, "another")),
    Way(ADDRESS, connects=(INSTANCE,), credentials='{"secret_access_key": "hush"}'),
    Way(
        replace(ADDRESS, bastion=None),
        (PAIR.private,),
        (INSTANCE, replace(INSTANCE, is_bastion=True)),
        "hush",
    ),
]


@pytest.mark.parametrize("way", WAYS)
def test_a_spool_gives_back_what_it_got_and_shows_no_secret(way: Way) -> None:
    text = json.dumps(way.to_spool(seal))

    assert Way.from_spool(json.loads(text), unseal) == way
    for secret in ("PRIVATE KEY", "hush", "another"):
        assert secret not in text
        assert secret not in repr(way)
        assert secret not in repr(way.key(lambda _, __: None))


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"address": None},
        {"connects": [{}]},
        {"connects": 3},
        {"address": {"host": "x"}},
        {"secrets": seal("[]")},
        {"secrets": seal("no JSON hush")},
        {"secrets": seal("{}")},
    ],
)
def test_a_spool_that_does_not_tell_how_is_refused_without_its_secrets(
    broken: dict[str, object],
) -> None:
    whole = {**WAYS[0].to_spool(seal), **broken} if broken else {"secrets": seal("[]")}

    with pytest.raises(UnreadableWayError, match="does not tell how to log in") as raised:
        Way.from_spool(whole, unseal)

    assert "hush" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_stored_keys_are_used_as_they_are() -> None:
    key = WAYS[0].key()

    assert key.privates == (PAIR.private, "another")
    assert not key.is_connect
    assert key.for_bastion is None


def test_each_login_by_instance_connect_has_a_new_pair_whose_public_half_is_handed_over() -> None:
    handed: list[tuple[Connect, str]] = []

    first, second = (WAYS[1].key(lambda to, key: handed.append((to, key))) for _ in range(2))

    assert [to for to, _ in handed] == [INSTANCE, INSTANCE]
    assert first.privates != second.privates
    assert [str(keypairs.read(each.privates[0]).public) for each in (first, second)] == [
        key for _, key in handed
    ]
    assert first.is_connect


def test_one_pair_opens_bastion_and_instance_and_stored_keys_open_a_bastion_that_gets_none() -> (
    None
):
    both = WAYS[2].key(lambda _, __: None)
    assert both.for_bastion is not None
    assert both.for_bastion.privates == both.privates

    only_instance = replace(WAYS[2], connects=(INSTANCE,)).key(lambda _, __: None)
    assert only_instance.for_bastion is not None
    assert only_instance.for_bastion.privates == (PAIR.private,)
    assert only_instance.is_connect
    assert not only_instance.for_bastion.is_connect
