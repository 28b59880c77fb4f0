"""Rules about how shell commands are written: brackets, signs of word processors, things left to fill in."""

import re
from collections.abc import Iterator

from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import TO_FILL_IN, Script

_PRINTS = frozenset(("echo", "printf", "logger", "wall"))
_FOREIGN = re.compile(
    "[\u2010-\u2015\u2212\u2018-\u201f\u00a0\u2007\u202f\u200b\u2060\ufeff\u00ab\u00bb\u00b4]"
)
_NAMES = {
    "\u2013": "an en dash",
    "\u2014": "an em dash",
    "\u00a0": "a non-breaking blank",
    "\u2212": "a minus sign",
}
_NO_COMMAND = re.compile(r"\[\[?[^\s\]\[]")


def brackets(script: Script) -> Iterator[Remark]:
    for call in script.calls:
        name, words = call.name, [word.text for word in call.words]
        if name == "[" and (not words or words[-1] != "]"):
            what = f"the test [ {_short(words)}has no ] of its own at its end"
        elif name == "[[" and (not words or words[-1] != "]]"):
            what = "a test that begins with [[ has no ]] of its own at its end"
        elif _NO_COMMAND.match(name) and not call.command.assigned:
            what = f"there is no blank behind the [ of {name[:40]}, so the shell looks for a command of that name"
        else:
            continue
        text = f"In {script.name}, {what}: write [ $? -gt 0 ], with a blank on each side of both brackets."
        yield Remark(Level.ERROR, "test-bracket", text, line=call.line)


def _short(words: list[str]) -> str:
    return f"{' '.join(words)[:40]} " if words else ""


def signs_of_word_processors(script: Script) -> Iterator[Remark]:
    if script.text.isascii():
        return
    for call in script.calls:
        if call.name in _PRINTS:
            continue
        for word in (
            call.name,
            call.command.words[0].bare,
            *(word.bare for word in call.words),
            *(a.bare for a in call.command.assigned),
        ):
            found = _FOREIGN.search(word)
            if found:
                sign = found.group()
                what = _NAMES.get(sign, "a typographic sign")
                text = (
                    f"{script.name} has {what} (U+{ord(sign):04X}) in the command {_harmless(call.name)}, as a word "
                    "processor writes it: type the ASCII sign (- ' \" or a blank)."
                )
                yield Remark(Level.ERROR, "typographic", text, line=call.line)
                break


def _harmless(name: str) -> str:
    return name[:40] if name.isprintable() else ascii(name[:40])


def left_to_fill_in(script: Script) -> Iterator[Remark]:
    if not script.is_shell or "<" not in script.text:
        return
    for number, line in enumerate(script.lines, start=1):
        found = None if line.lstrip().startswith("#") else TO_FILL_IN.search(line[:4000])
        if found and not line.lstrip().startswith(("echo ", "printf ")):
            text = (
                f"{script.name} still has {found.group()[:60]}, which somebody meant to fill in: write the "
                "value, or where "
                "a password belongs name an option file with mode 600."
            )
            yield Remark(Level.ERROR, "placeholder", text, line=number)


RULES = (brackets, signs_of_word_processors, left_to_fill_in)
