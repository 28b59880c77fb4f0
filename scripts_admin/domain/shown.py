"""Names and bytes that others chose, as a sentence may hold them."""

from n2wbackup.lib import terminal

LONGEST = 200


def shown(raw: bytes | str) -> str:
    r"""Return one harmless line: bytes that are no text become escapes like \xff, and a long text is cut.

    A name in a folder and an interpreter line come from whoever wrote them, and a sentence reaches terminals.
    """
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "surrogateescape")
    safe = terminal.line(text)
    return safe if len(safe) <= LONGEST else f"{safe[:LONGEST]}…"
