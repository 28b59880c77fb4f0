"""How scripts get to an instance, and whose file serves which one."""

import pytest

from scripts_admin.domain import remote
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.remote import Bastion, By, Key, Remote, ThawnBy

INSTANCE, OTHER = "i-0123456789abcdef0", "i-0fedcba9876543210"
SSH = Remote(by="ssh", user="ec2-user")


def _wrong(found: Remote, *, is_instance: bool = True) -> list[tuple[str, str]]:
    return list(found.mistakes(INSTANCE, is_instance=is_instance))


@pytest.mark.parametrize(
    "found",
    [
        Remote(),
        SSH,
        SSH.filled(),
        Remote(by="ssh", user="root", key="stored", host="10.0.0.5", port=2222, sudo=False),
        Remote(by="ssh", user="u", bastion="jump@bastion.example.org:2222", sudo=True),
        Remote(by="ssh", user="u", before="/usr/local/sbin/freeze"),
        Remote(by="ssm"),
        Remote(by="ssm", document="AWS-RunShellScript").filled(),
        Remote(by="ssm", document="arn:aws:ssm:us-east-1:123456789012:document/own"),
    ],
)
def test_what_can_be_meant_is_taken(found: Remote) -> None:
    assert _wrong(found) == []


@pytest.mark.parametrize(
    ("found", "key", "says"),
    [
        (Remote(by="shh"), "by", "write ssh or ssm. Did you mean ssh?"),
        (Remote(user="ec2-user"), "by", "need a way in: write by: ssh or by: ssm, or remove user"),
        (Remote(by="ssh"), "user", "name it, such as ec2-user"),
        (Remote(by="ssh", user="no one"), "user", "'no one' is no name of a Linux account"),
        (Remote(by="ssh", user="-oProxyCommand=x"), "user", "is no name of a Linux account"),
        (Remote(by="ssh", user="root", sudo=True), "sudo", "root needs no sudo"),
        (Remote(by="ssh", user="u", key="store"), "key", "Did you mean stored?"),
        (Remote(by="ssh", user="u", host="-oProxyCommand=x"), "host", "is no host"),
        (Remote(by="ssh", user="u", port=0), "port", "0 is no port"),
        (Remote(by="ssh", user="u", port=65_536), "port", "65536 is no port"),
        (Remote(by="ssh", user="u", bastion="b:ssh"), "bastion", "'ssh' is no port of a bastion"),
        (Remote(by="ssh", user="u", bastion="b:" + "0" * 400 + "22"), "bastion", "is no port of"),
        (Remote(by="ssh", user="u", bastion="b:" + "9" * 5000), "bastion", "is no port of"),
        (Remote(by="ssh", user="u", bastion="j@ b"), "bastion", "is no bastion"),
        (Remote(by="ssh", user="u", bastion="b\n"), "bastion", "is no bastion"),
        (Remote(by="ssh", user="u", host=" " * 300 + "db1"), "host", "write it without spaces"),
        (Remote(by="ssh", user="u", host="db1\n"), "host", "write it without spaces"),
        (Remote(by="ssh", user="u", bastion="a b@c"), "bastion", "no account of a bastion"),
        (Remote(by="ssh", user="u", bastion="u@-x"), "bastion", "is no host"),
        (Remote(by="ssh", user="u", document="X-Y"), "document", "no meaning by SSH"),
        (Remote(by="ssh", user="u", before="bin/x"), "scripts.before", "is no path of a script"),
        (Remote(by="ssh", user="u", after="/a\nb"), "scripts.after", "is no path of a script"),
        (Remote(by="ssh", user="u", after="/opt/"), "scripts.after", "is no path of a script"),
        (Remote(by="ssm", sudo=True), "sudo", "so sudo has no meaning: remove this"),
        (Remote(by="ssm", user="u", sudo=True), "user", "so user and sudo have no meaning"),
        (Remote(by="ssm", document="no document"), "document", "is no name of an SSM document"),
        (Remote(by="ssm", document="AWS-RunPowerShellScript"), "document", "runs PowerShell"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_at_its_key(
    found: Remote, key: str, says: str
) -> None:
    ((at, sentence),) = _wrong(found)

    assert (at, says in sentence) == (key, True), sentence


def test_no_script_runs_on_a_volume() -> None:
    ((at, sentence),) = _wrong(Remote(by="ssm"), is_instance=False)

    assert at == "by"
    assert "is a volume, so no script can run on it" in sentence


def test_a_way_in_gets_its_own_defaults_and_no_others() -> None:
    assert SSH.filled() == Remote(by="ssh", user="ec2-user", key="instance-connect", port=22)
    assert Remote(by="ssm").filled() == Remote(by="ssm", document="AWS-RunShellScript")
    assert Remote().filled() == Remote()


@pytest.mark.parametrize(
    "found",
    [
        SSH.filled(),
        Remote(by="ssh", user="u", key="stored", port=2222, bastion="b", sudo=True, after="/a"),
        Remote(by="ssm", document="X-Y"),
    ],
)
def test_what_is_written_for_a_run_is_read_again(found: Remote) -> None:
    said = found.as_document()

    assert said is not None
    assert Remote.of_document({**said, "of another version": 1}) == found


def test_nothing_is_written_where_no_script_runs() -> None:
    assert Remote().as_document() is None
    assert Remote.of_document(None) == Remote.of_document({}) == Remote()
    assert not Remote()
    assert str(Remote()) == ""


def test_it_can_be_said_in_words() -> None:
    long = Remote("ssh", "u", "stored", "10.0.0.5", 2222, "jump@b", sudo=True, before="/a/b")

    assert str(SSH.filled()) == "by SSH as ec2-user with EC2 Instance Connect"
    assert str(long) == (
        "by SSH as u at 10.0.0.5 port 2222 with a stored key, through jump@b, with sudo, before /a/b"
    )
    assert str(Remote(by="ssm").filled()) == "by SSM with AWS-RunShellScript"


@pytest.mark.parametrize(
    ("text", "host", "port", "user"),
    [
        ("bastion.example.org", "bastion.example.org", 22, ""),
        ("u@b:2222", "b", 2222, "u"),
        ("10.0.0.1", "10.0.0.1", 22, ""),
        ("[fd00::1]:2222", "fd00::1", 2222, ""),
        ("u@[fd00::1]", "fd00::1", 22, "u"),
        ("fd00::1", "fd00::1", 22, ""),
    ],
)
def test_a_bastion_is_read_and_said_again(text: str, host: str, port: int, user: str) -> None:
    found = Bastion.parse(text)

    assert found == Bastion(host, port, user)
    assert Bastion.parse(str(found)) == found


def test_a_script_at_a_path_is_called_with_the_same_argument_whatever_the_path_is() -> None:
    called = remote.caller("/opt/it's; rm -rf $(x)/a b").decode()

    assert called == "#!/bin/sh\nexec '/opt/it'\"'\"'s; rm -rf $(x)/a b' \"$@\"\n"
    assert remote.why_not_carried(called.encode(), "x") == ""


LISTED = [
    f"before_p@{INSTANCE}.sh",
    "before_p@all.sh",
    "before_p.sh",
    "before_p2@all.sh",
    f"before_p@{INSTANCE}.sh~",
    "before_p@all",
]


def test_the_file_of_the_instance_wins_over_the_one_for_all() -> None:
    own = remote.candidates(LISTED, Phase.BEFORE, "p", INSTANCE)
    others = remote.candidates(LISTED, Phase.BEFORE, "p", OTHER)

    assert (own, others) == ([f"before_p@{INSTANCE}.sh"], ["before_p@all.sh"])
    assert remote.candidates(LISTED, Phase.AFTER, "p", INSTANCE) == []


def test_two_files_of_an_instance_are_both_there_and_the_one_for_all_does_not_help() -> None:
    listed = [*LISTED, f"before_p@{INSTANCE}.v2.py"]

    found = remote.candidates(listed, Phase.BEFORE, "p", INSTANCE)

    assert found == [f"before_p@{INSTANCE}.sh", f"before_p@{INSTANCE}.v2.py"]


@pytest.mark.parametrize(
    ("name", "policy", "instance"),
    [
        (f"before_p_1@{INSTANCE}.v1.sh", "p_1", INSTANCE),
        ("before_p@all.sh", "p", "all"),
        ("before_p@.sh", "p", ""),
        ("before_p@ALL.sh", "p", "ALL"),
        ("before_p@a@b.sh", "p", "a@b"),
    ],
)
def test_a_name_says_whose_it_is(name: str, policy: str, instance: str) -> None:
    assert remote.named(name) == remote.Named(Phase.BEFORE, policy, instance)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "before_p.sh",
            "before_p@all",
            "before_p@all.",
            ".before_p@all.sh",
            "before_p@all.sh.bak",
        ),
        *("freeze_p@all.sh", "before_@all.sh", "before_p q@all.sh", "Before_p@all.sh"),
    ],
)
def test_other_names_are_no_remote_scripts(name: str) -> None:
    assert remote.named(name) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"echo\n", "names no interpreter in its first line"),
        (b"#! \necho\n", "names no interpreter"),
        (b"#!sh\necho\n", "names no interpreter"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "names no interpreter"),
        (b"#!/bin/sh\r\necho\r\n", "has Windows line ends"),
        (b"\x7fELF\0\0", "is a binary"),
        (b"#!/bin/sh\n\0", "is a binary"),
        (b"#!/bin/sh\n" + b"#" * remote.MAX_BYTES, "is larger than 256 KiB"),
    ],
)
def test_what_could_not_run_on_an_instance_is_told_before(content: bytes, says: str) -> None:
    assert says in remote.why_not_carried(content, "before_p@all.sh")


@pytest.mark.parametrize(
    "content", [b"#!/bin/sh\ntrue\n", b"#! /usr/bin/env python3\npass", b"#!/bin/bash -e\n:\n"]
)
def test_a_script_with_an_interpreter_is_carried(content: bytes) -> None:
    assert remote.why_not_carried(content, "before_p@all.sh") == ""


def test_words_of_another_version_are_no_thaw_on_request() -> None:
    assert ThawnBy.of("worker") == ThawnBy.WORKER
    assert ThawnBy.of("something new") == ThawnBy.ORPHAN
    assert (list(By), list(Key)) == (["ssh", "ssm"], ["instance-connect", "stored"])
