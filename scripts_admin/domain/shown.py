"""Names and bytes that others chose, as a sentence may hold them."""

from n2wbackup.lib import terminal

LONGEST = 200


def shown(raw: bytes | str) -> str:
    r"""Return one harmless line: bytes that are no text become escapes like \xff, and a long text is cut.

    A name in a folder and an interpreter line come from whoever wrote them, and a sentence reaches terminals.
    """
    given = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
    text = given.decode("utf-8", "backslashreplace")
    # Stricter than elsewhere: in a name or an interpreter line, an unusual blank is a mistake that nobody sees.
    safe = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in terminal.line(text))
    return safe if len(safe) <= LONGEST else f"{safe[:LONGEST]}…"
