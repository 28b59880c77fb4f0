"""The program, the command and the words of the far side, without a far side."""

import subprocess
from dataclasses import replace

import pytest

from scripts_admin.runners import far
from tests.ground.far_side import order
from tests.ground.properties import given, settings, st

# Each example starts a shell.
FEW = settings(max_examples=15)
NONCE = "0123456789abcdef"


def heard(text: bytes) -> list[far.Word]:
    return far.words(text, NONCE)


def test_each_line_is_a_word() -> None:
    lines = [
        "ready 17 a-boot 12.34 /dev/shm/n2w-x",
        "refused there is no memory",
        "pong 3 12.35",
        "before 7 1.00",
        "before timeout 1.00",
        "thawing silence 0 2.00",
        "after 2 cut eof",
        "over never",
        "look rebooted other-boot 3.00",
    ]
    text = "".join(f"n2w1 {NONCE} {line}\n" for line in lines).encode()
    assert heard(text) == [
        far.Ready(17, "a-boot", 12.34, "/dev/shm/n2w-x"),
        far.Refused("there is no memory"),
        far.Pong(3, 12.35),
        far.Before(7, 1.0),
        far.Before("timeout", 1.0),
        far.Thawing(far.By.SILENCE, "0", 2.0),
        far.After(2, "cut", far.By.EOF),
        far.Over(far.By.NEVER),
        far.Look(far.State.REBOOTED, "other-boot", 3.0),
    ]


def test_noise_of_the_login_is_kept_for_the_message_and_is_no_word() -> None:
    reader = far.Reader(NONCE)
    noise = b"Welcome!\nn2w1 another over worker\n\xff\xfe\nprompt$ "
    words = list(reader.feed(noise + f"n2w1 {NONCE} pong 1 1.00\n".encode()))
    assert words == [far.Pong(1, 1.0)]
    assert reader.noise == b"Welcome!\nn2w1 another over worker\n\xff\xfe\n"


def test_noise_is_bounded() -> None:
    reader = far.Reader(NONCE)
    for _ in range(100):
        assert list(reader.feed(b"x" * 1000 + b"\n")) == []
    assert len(reader.rest()) <= far.NOISE_BYTES
    endless = far.Reader(NONCE)
    for _ in range(200):
        assert list(endless.feed(b"y" * 10_000)) == []
    assert len(endless.rest()) <= 2 * far.NOISE_BYTES
    assert len(endless.pending) <= far.LONGEST_LINE_BYTES


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "over somebody",
        "before",
        "before x 1",
        "after 1",
        "ready 1 b\u00f6ot 1.00 /run/x",
        "ready 1 boot 1.00 /run/\x1b[2J",
        "before -1 1.00",
        "before 256 1.00",
        "before 0 nan",
        "thawing worker 7 1.00",
        "thawing worker \0 1.00",
        "after 0 0 worker",
        "after -1 0 worker",
        "after 99999999999999 0 worker",
        "after 1 99999999999999 worker",
        "pong 1 inf",
        "out else.1.stdout 0 0 0",
        "out after.99999999999999.stdout 0 0 0",
        "out after.1.etc 0 0 0",
        "out x -5 0 0",
        "out end x 0 0",
        "out x 5 6 0",
        "out x 9999999999 0 0",
    ],
)
def test_a_line_that_is_broken_is_noise(line: str) -> None:
    assert heard(f"n2w1 {NONCE} {line}\n".encode()) == []


def test_a_character_that_no_database_takes_is_replaced() -> None:
    assert heard(f"n2w1 {NONCE} refused no \0 room\n".encode()) == [far.Refused("no � room")]


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(1, 50))
def test_an_output_is_read_whole_however_it_arrives(head: bytes, tail: bytes, step: int) -> None:
    text = f"n2w1 {NONCE} out before.1.stderr {len(head + tail)} {len(head)} 99\n".encode()
    text += head + tail + f"n2w1 {NONCE} out end 0 0 0\n".encode()
    reader = far.Reader(NONCE)
    words = [word for at in range(0, len(text), step) for word in reader.feed(text[at : at + step])]
    assert words == [
        far.Out("before", 1, "stderr", head, 99, tail),
        far.Out("end", 0, "", b"", 0, b""),
    ]


@FEW
@given(st.binary(max_size=400).map(lambda text: text.replace(b"\0", b"")))
def test_any_text_passes_the_shell_byte_for_byte(text: bytes) -> None:
    carried = far.Carried("x.sh", b"#!/bin/sh\n" + text)
    program = far.program(far.Order(NONCE, before=carried), text=b'printf "$n2w_before"')
    assert program.isascii()
    told = subprocess.run(["sh"], input=program, capture_output=True, check=True)
    assert told.stdout == carried.text


@FEW
@given(
    st.dictionaries(
        st.just("N2W_POLICY"), st.text(st.characters(exclude_characters="\0", codec="utf-8"))
    )
)
def test_any_environment_passes_the_shell(environment: dict[str, str]) -> None:
    of = far.Order(NONCE, environment=environment)
    program = far.program(of, text=b"signals=\nn2w_with printenv N2W_POLICY || true\n")
    told = subprocess.run(["sh"], input=program, capture_output=True, check=False)
    value = environment.get("N2W_POLICY")
    # What the shell substitutes loses its last line ends.
    assert told.stdout.decode().rstrip("\n") == (value or "").rstrip("\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + bytes(50), "NUL|binary"),
        (b"#!/bin/sh\necho \0\n", "NUL"),
        (b"echo hello\n", "does not begin with #!"),
        (b"#!/bin/sh\r\necho\r\n", "Windows line ends"),
        (b"", "does not begin with #!"),
    ],
)
def test_what_cannot_be_carried_is_refused_with_a_sentence(text: bytes, why: str) -> None:
    of = far.Order(NONCE, before=far.Carried("before_shop@all.sh", text))
    with pytest.raises(far.UnfitError, match=why) as raised:
        far.program(of)
    assert str(raised.value).startswith("before: before_shop@all.sh ")


@pytest.mark.parametrize("name", ["../x", "a b", "-x", ".x", "x'y", "x\n", ""])
def test_a_name_that_is_no_plain_file_name_is_refused(name: str) -> None:
    with pytest.raises(far.UnfitError):
        far.program(far.Order(NONCE, before=far.Carried(name, b"#!/bin/sh\n")))


@pytest.mark.parametrize("path", ["freeze", "", "/a\nb", "/a\0b"])
def test_a_path_that_is_no_full_path_is_refused(path: str) -> None:
    with pytest.raises(far.UnfitError):
        far.program(far.Order(NONCE, after=far.Installed(path)))


@pytest.mark.parametrize(
    "nonce", ["", "short", "with space 1234567", "x'$(reboot)'xxxxxx", "a" * 65]
)
def test_a_nonce_is_plain(nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        far.program(far.Order(nonce))


def test_a_second_session_does_not_carry_before() -> None:
    of = order("echo frozen", "echo thawed")
    assert b"frozen" in far.program(of)
    modes: list[far.Mode] = ["look", "ssm-b"]
    for mode in modes:
        text = far.program(of, mode)
        assert b"frozen" not in text
        assert b"thawed" in text


def test_the_command_reads_exactly_the_program() -> None:
    text = far.program(order())
    assert far.launch(text) == f"sh -c 'eval \"$(head -c {len(text)})\"'"
    assert far.launch(text, sudo=True) == "sudo -n " + far.launch(text)


def test_ssm_gets_nothing_that_it_would_expand() -> None:
    of = replace(
        order(), before=far.Carried("b.sh", b"#!/bin/sh\necho {{ssm:secret}} {{global:DATE}}\n")
    )
    assert "{{" not in far.document(far.program(of, "ssm-a"))


def test_a_text_that_is_too_long_as_it_is_goes_packed_and_is_the_same_each_time() -> None:
    of = order(before="echo {{ssm:secret}}\n" * 500)
    text = far.program(of, "ssm-a")
    packed = far.document(text, packed=True)

    shown = packed.replace("eval", "printf %s")
    told = subprocess.run(["sh", "-c", shown], capture_output=True, check=True)
    assert told.stdout == text.rstrip(b"\n")
    assert len(packed) < len(text) / 2
    assert packed == far.document(text, packed=True)
    assert "{{" not in packed


def test_a_script_knows_which_way_it_came() -> None:
    modes: list[far.Mode] = ["ssh", "look", "ssm-a", "ssm-b"]
    told = [b"N2W_BY=ssm" in far.program(order(), mode) for mode in modes]

    assert told == [False, False, True, True]
    assert b"N2W_BY=ssh" in far.program(order())


def test_words_to_the_far_side() -> None:
    assert far.ping(4) == b"ping 4\n"
    assert far.go(12.5) == b"go 14.50\n"
    assert far.thaw("1") == b"thaw 1\n"


def test_the_sent_wrapper_has_no_comments_and_stays_small() -> None:
    lines = far.wrapper().splitlines()
    assert not [line for line in lines if line.lstrip().startswith(b"#")]
    assert len(far.wrapper()) < 32 * 1024
