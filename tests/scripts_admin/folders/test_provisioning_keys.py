"""SSH keys are judged before they open an account; what is none is refused with one sentence."""

import subprocess
from pathlib import Path

import pytest

from scripts_admin.folders.provisioning import keys
from scripts_admin.folders.provisioning.commands import ProvisionError

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHyLM2ES6O+9dP+Bm5nLs3VWJ9pyzHmxQ5Y0ZB9bK1Bq"


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "key.pub"
    path.write_text(text)
    return path


def test_keys_are_taken_one_a_line_and_named_by_their_fingerprint(tmp_path: Path) -> None:
    found = keys.of_file(file(tmp_path, f"# mine\n{ED25519} alice@laptop\n\n"))

    assert list(found.values()) == [f"{ED25519} alice@laptop"]
    assert all(each.startswith("SHA256:") for each in found)


def test_what_ssh_keygen_makes_is_taken(tmp_path: Path) -> None:
    for kind in ("ed25519", "ecdsa", "rsa"):
        path = tmp_path / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)

        assert len(keys.of_file(path.with_suffix(".pub"))) == 1

        with pytest.raises(ProvisionError, match="holds a private key: name the public half"):
            keys.of_file(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no key"),
        ("hello\n", "no plain public SSH key"),
        (f'command="sh" {ED25519}\n', "no plain public SSH key"),
        (f"{ED25519[:-8]}\n", "no plain public SSH key"),
        (f"{ED25519} \x1b[31mred\n", "no text"),
        (f"{ED25519}\nssh-ed25519 ????\n", "no plain public SSH key"),
    ],
)
def test_what_is_no_plain_key_is_refused_with_one_sentence(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ProvisionError, match=words) as refused:
        keys.of_file(file(tmp_path, text))

    assert str(refused.value).endswith(".")
    assert "\x1b" not in str(refused.value)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", path], check=True
    )

    with pytest.raises(
        ProvisionError, match="has an RSA key of 1024 bits: use ssh-keygen -t ed25519"
    ):
        keys.of_file(path.with_suffix(".pub"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match="cannot be read"):
        keys.of_file(tmp_path / "none.pub")
