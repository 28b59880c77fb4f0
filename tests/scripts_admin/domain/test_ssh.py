"""SSH's texts: what people type, what OpenSSH and cloud-init print, and what OpenSSH reads."""

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from scripts_admin.domain import ssh
from scripts_admin.domain.ssh import NotAKeyError
from scripts_admin.hosts import keypairs
from tests.ground import components
from tests.ground.properties import given, st

ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGDkKEmYUv0rNBCwZMmYdkqXuzPGTnUELsaLLxkl0oCd"
FINGERPRINT = ssh.public_key(ED).fingerprint


@pytest.mark.real
@pytest.mark.parametrize(
    ("kind", "bits"), [("ed25519", 256), ("ecdsa", 256), ("ecdsa", 521), ("rsa", 2048)]
)
def test_fingerprint_and_drawing_are_openssh_s_own(tmp_path: Path, kind: str, bits: int) -> None:
    keygen = components.program("ssh-keygen")
    subprocess.run(
        [keygen, "-q", "-t", kind, "-b", str(bits), "-N", "", "-f", tmp_path / "k"], check=True
    )
    told = subprocess.run(
        [keygen, "-lv", "-f", tmp_path / "k.pub"], check=True, capture_output=True, text=True
    ).stdout
    first, _, art = told.partition("\n")

    key = ssh.public_key((tmp_path / "k.pub").read_text())

    assert [str(key.bits), key.fingerprint, f"({key.name})"] == [
        word for word in first.split() if word[0] in "(S" or word.isdecimal()
    ]
    assert key.art == art.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-dss AAAAB3NzaC1kc3M=",
        f"ssh-rsa {ED.split()[1]}",
        "\0",
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(NotAKeyError):
        ssh.public_key(text)


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    for read in (ssh.public_key, ssh.host_name, ssh.fingerprint):
        with suppress(NotAKeyError):
            read(text)
    ssh.fingerprints_on(text)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("DB1.example.org", "db1.example.org"),
        (" db1 ", "db1"),
        ("10.0.0.7", "10.0.0.7"),
        ("[FD00::7]", "fd00::7"),
        ("ec2-1-2-3-4.compute-1.amazonaws.com", "ec2-1-2-3-4.compute-1.amazonaws.com"),
    ],
)
def test_a_host_is_a_name_or_an_address(typed: str, name: str) -> None:
    assert ssh.host_name(typed) == name


@pytest.mark.parametrize(
    "typed",
    [
        *("", "a b", "-oProxyCommand=id", "a,b", "*", "!a", "a\nb", "user@host", "host:22", "10.1"),
        *("167772167", "fe80::1%eth0", "@revoked", "|1|a|b", "x" * 300, "a..b"),
        '"><svg onload=alert(1)>',
    ],
)
def test_what_could_mean_more_than_one_host_in_known_hosts_is_none(typed: str) -> None:
    with pytest.raises(NotAKeyError):
        ssh.host_name(typed)


@pytest.mark.parametrize(
    "pasted",
    [FINGERPRINT, f"256 {FINGERPRINT} root@db1 (ED25519)", f"{ED} root@db1", f" {FINGERPRINT}\n"],
)
def test_a_fingerprint_is_found_in_what_people_paste(pasted: str) -> None:
    assert ssh.fingerprint(pasted) == FINGERPRINT


@pytest.mark.parametrize(
    "pasted", ["", "SHA256:short", "MD5:aa:bb", f"{FINGERPRINT}x", f"SHA256:{'a' * 43} {ED}"]
)
def test_what_is_no_single_fingerprint_is_refused(pasted: str) -> None:
    with pytest.raises(NotAKeyError):
        ssh.fingerprint(pasted)


def test_what_cloud_init_prints_on_the_console_is_read() -> None:
    console = (
        "[   12.3] cloud-init[901]: ci-info: no authorized keys\r\n"
        "ec2: #############################################################\r\n"
        "ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n"
        f"ec2: 3072 SHA256:{'b' * 43} root@ip-10-0-0-7 (RSA)\r\n"
        "ec2: -----END SSH HOST KEY FINGERPRINTS-----\r\n"
        f"-----BEGIN SSH HOST KEY KEYS-----\r\n{ED} root@ip-10-0-0-7\r\n-----END SSH HOST KEY KEYS-----\r\n"
        "login: "
    )

    assert ssh.fingerprints_on(console) == sorted([f"SHA256:{'b' * 43}", FINGERPRINT])


def test_known_hosts_name_another_port_as_openssh_does() -> None:
    assert ssh.known_hosts([("db2", 2222, ED), ("db1", 22, ED)]) == f"db1 {ED}\n[db2]:2222 {ED}\n"


def test_the_line_for_the_hosts_forwards_nothing() -> None:
    line = ssh.authorized_keys(str(keypairs.make().public), "n2wbackup-alice")

    assert line.startswith("restrict ssh-ed25519 AAAA")
    assert line.endswith(" n2wbackup-alice")
