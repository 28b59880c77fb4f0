"""What the kernel says of its registered handlers; tests/contract has the kernel beside it."""

import pytest

from scripts_admin.domain import handlers

QEMU = b"enabled\ninterpreter /usr/bin/qemu\nflags: OCF\noffset 1\nmagic 4142\nmask f0ff\n"


def test_a_handler_takes_what_its_magic_and_mask_say() -> None:
    found = handlers.read(QEMU)

    assert found is not None
    assert (found.interpreter, found.is_open, found.gets_an_open_file) == (
        b"/usr/bin/qemu",
        True,
        True,
    )
    assert handlers.of(b"x", b"?AB", [found]) is found
    assert handlers.of(b"x", b"?OB", [found]) is found
    for other in (b"?AC", b"AB", b"?A", b""):
        assert handlers.of(b"x", other, [found]) is None


def test_a_handler_takes_what_ends_like_its_extension() -> None:
    found = handlers.read(b"enabled\ninterpreter /bin/cat\nflags: \nextension .jar\n")

    assert found is not None
    assert handlers.of(b"/x/before_p.jar", b"", [found]) is found
    for other in (b"/x/before_p.jar2", b"/x/jar", b"/x.jar/before_p.sh"):
        assert handlers.of(other, b"", [found]) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"disabled\ninterpreter /x\n",
        b"enabled\n",
        b"enabled\ninterpreter /x\nmagic zz\n",
        b"\xff",
    ],
)
def test_what_is_switched_off_or_said_otherwise_takes_nothing(text: bytes) -> None:
    assert handlers.read(text) is None
