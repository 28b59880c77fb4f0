"""A reader of shell scripts for lint: which commands a text has, and where they stand.

It knows quotes, comments, here-documents, substitutions, redirections, pipes and the reserved words, and it never
refuses a text: what it cannot make out is taken as it stands. Each character is read once, so the time grows with the
length and with nothing else, whatever the text is.
"""

import re
from bisect import bisect_right

from scripts_admin.domain.lint.commands import Command, Redirect, Word

_PLAIN = re.compile(r"[^ \t\r\n\\'\"$`;&|()<>]+")
_BLANK = re.compile(r"(?:[ \t\r]|\\\r?\n)+")
_BETWEEN_PATTERNS = re.compile(r"[ \t\r\n]+|#[^\n]*")
_COMMENT = re.compile(r"#[^\n]*")
_REDIRECT = re.compile(
    r"(?:[0-9]{1,4}|\{\w{1,40}\})?"
    r"(?:<<<|<<-?|<>|<&|>&|>>|>\||<(?!\()|>(?!\())|&>>?"
)
_SEPARATOR = re.compile(r";;&|;;|;&|&&|\|\||\|&|;|&|\||\n")
_IN_QUOTES = re.compile(r"[^\"\\$`]+")
_DOLLAR_QUOTED = re.compile(r"\$'(?:[^'\\]+|\\.)*'?", re.DOTALL)
_PATTERN = re.compile(r"[^)'\"\\]+|'[^']*'|\\.|[^)]", re.DOTALL)
_NAME = re.compile(r"\$(?:\w+|[^\s\w'\"({])?")
_ASSIGNED = re.compile(r"\w+(?:\[[^]]*\])?\+?=")
_IN_FRONT = frozenset(
    [
        "if",
        "then",
        "elif",
        "else",
        "fi",
        "while",
        "until",
        "do",
        "done",
        "!",
        "{",
        "}",
        "time",
        "esac",
    ]
)
_OPENS = ("=", "?", "*", "+", "@", "!")  # an array, or a pattern, when a parenthesis follows
_LOOPS = frozenset(("while", "until", "for", "select"))
_DEEPEST = 30  # substitutions within substitutions; what lies deeper is read as plain text


def read(text: str, first_line: int = 1) -> list[Command]:
    """Return the commands of a script in the order of the text, those of a substitution first."""
    reader = _Reader(text, first_line)
    reader.commands()
    return reader.found


class _Reader:
    def __init__(self, text: str, first_line: int, depth: int = 0) -> None:
        self._text, self._at, self._first = text, 0, first_line
        self._lines = [match.start() for match in re.finditer("\n", text)]
        self.found: list[Command] = []
        self._documents: list[tuple[Command, str, bool]] = []
        self._loops = self._branches = 0
        self._depth = depth
        self._has_no_end_of_sum = False

    def commands(self, *, until_closed: bool = False) -> None:
        """Read up to the end, or to the parenthesis that closes what was opened before the call."""
        _Level(self, until_closed=until_closed).read()

    # What follows is for _Level, one for each level of substitution.

    @property
    def rest(self) -> bool:
        return self._at < len(self._text)

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match.group()

    def looks_at(self, begin: str) -> bool:
        return self._text.startswith(begin, self._at)

    def skip(self, count: int) -> None:
        self._at += count

    @property
    def line(self) -> int:
        return self._first + bisect_right(self._lines, self._at - 1)

    def new(self) -> Command:
        return Command(loops=self._loops, branches=self._branches, substitutions=self._depth)

    def note(self, command: Command, word: str) -> None:
        """Count the loops and branches that a reserved word opens or closes."""
        if word in _LOOPS:
            self._loops += 1
        elif word == "done":
            self._loops = max(0, self._loops - 1)
        elif word in ("if", "case"):
            self._branches += 1
        elif word in ("fi", "esac"):
            self._branches = max(0, self._branches - 1)
        command.loops, command.branches = self._loops, self._branches

    def sum(self) -> bool:
        """Skip an arithmetic ((…)) if one stands here and has an end."""
        end = -1 if self._has_no_end_of_sum else self._text.find("))", self._at)
        self._has_no_end_of_sum = self._has_no_end_of_sum or end < 0
        if end < 0:
            return False
        self._at = end + 2
        return True

    def pattern(self) -> None:
        """Skip a pattern of a case and the parenthesis behind it."""
        while self.rest and not self.looks_at(")"):
            self.take(_PATTERN)
        self.skip(1)

    def word(self) -> Word:
        """Read one word; it has at least one character."""
        line, text, bare = self.line, [], []
        begin = self._at
        while self.rest:
            plain = self.take(_PLAIN)
            if plain:
                text.append(plain)
                bare.append(plain)
                continue
            one = self._text[self._at]
            if one in " \t\r\n" or one in ";&|" or (one in "<>" and not self.looks_at(f"{one}(")):
                break
            if one == ")" or (one == "(" and not (text and text[-1].endswith(_OPENS))):
                break
            quoted, found = self._piece(one)
            text.append(found)
            if not quoted:
                bare.append(found)
        if self._at == begin:  # a sign that begins nothing
            self.skip(1)
            text.append(self._text[begin])
        return Word("".join(text), line, "".join(bare))

    def _piece(self, one: str) -> tuple[bool, str]:
        """Read what begins with a sign; tell whether it stood in quotes."""
        if one in "'\"" or self.looks_at("$'") or self.looks_at('$"'):
            return True, self._quoted(one)
        if one == "\\":
            found = self._text[self._at + 1 : self._at + 2]
            self.skip(2)
            return True, "" if found == "\n" else found
        if one in "(<>":
            begin = self._at
            self.skip(1 if one == "(" else 2)
            self._array() if one == "(" else self._nested()
            return False, self._text[begin : self._at]
        return False, self._expansion()

    def _quoted(self, one: str) -> str:
        if one == "'":
            return self._up_to("'")
        if self.looks_at("$'"):
            return self.take(_DOLLAR_QUOTED)[2:-1]
        self.skip(0 if one == '"' else 1)
        return self._double()

    def _up_to(self, sign: str) -> str:
        end = self._text.find(sign, self._at + 1)
        end = len(self._text) if end < 0 else end
        found = self._text[self._at + 1 : end]
        self._at = end + 1
        return found

    def _array(self) -> None:
        """Read the words of an array or of an extended pattern: they are no commands."""
        if self._depth >= _DEEPEST:
            return
        self._depth += 1
        while self.rest and not self.looks_at(")"):
            if self.take(_BLANK) or self.looks_at("\n"):
                self.skip(0 if not self.looks_at("\n") else 1)
            elif self.looks_at("#"):
                self.take(_COMMENT)
            else:
                self.word()
        self.skip(1)
        self._depth -= 1

    def _double(self) -> str:
        self.skip(1)
        found: list[str] = []
        while self.rest and not self.looks_at('"'):
            plain = self.take(_IN_QUOTES)
            if plain:
                found.append(plain)
            elif self.looks_at("\\"):
                escaped = self._text[self._at + 1 : self._at + 2]
                keeps = "" if escaped in ('"', "\\", "$", "`", "\n") else "\\"
                found.append(keeps + ("" if escaped == "\n" else escaped))
                self.skip(2)
            else:
                found.append(self._expansion())
        self.skip(1)
        return "".join(found)

    def _expansion(self) -> str:
        begin = self._at
        if self.looks_at("`"):
            line, inner = self.line, self._up_to("`")
            if self._depth < _DEEPEST:
                nested = _Reader(inner.replace("\\`", "`"), line, self._depth + 1)
                nested.commands()
                self.found += nested.found
        elif self.looks_at("$((") and self.sum():
            pass
        elif self.looks_at("$("):
            self.skip(2)
            self._nested()
        elif self.looks_at("${"):
            self._braces()
        elif not self.take(_NAME):
            self.skip(1)
        return self._text[begin : self._at]

    def _braces(self) -> None:
        open_ones = 0
        while self.rest:
            one = self._text[self._at]
            self.skip(2 if one == "\\" else 1)
            open_ones += {"{": 1, "}": -1}.get(one, 0)
            if one == "}" and not open_ones:
                return

    def _nested(self) -> None:
        if self._depth >= _DEEPEST:
            return
        self._depth += 1
        kept = self._loops, self._branches
        self.commands(until_closed=True)
        self._loops, self._branches = kept
        self._depth -= 1

    def here(self, command: Command, sign: str, delimiter: Word) -> None:
        """Remember a here-document, whose text begins in the next line."""
        self._documents.append((command, delimiter.text, sign.endswith("-")))

    def documents(self) -> None:
        """Read the here-documents that begin here."""
        for command, delimiter, strips in self._documents:
            line, begin, here = self.line, self._at, len(self._text)
            while self.rest:
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                written = self._text[self._at : end]
                if (written.lstrip("\t") if strips else written).rstrip("\r") == delimiter:
                    here, self._at = self._at, end + 1
                    break
                self._at = end + 1
            body = self._text[begin:here]
            command.stdin = Word(body, line, body)
        self._documents.clear()


class _Level:
    """The commands of a script, or of one substitution."""

    def __init__(self, reader: _Reader, *, until_closed: bool) -> None:
        self._reader, self._until_closed = reader, until_closed
        self._command = reader.new()
        self._cases = self._open = 0
        self._condition = False

    def read(self) -> None:
        reader = self._reader
        while reader.rest:
            if reader.take(_BLANK) or (reader.looks_at("#") and reader.take(_COMMENT)):
                continue
            if self._is_test and not reader.looks_at("\n") and not reader.looks_at(";"):
                self._command.words.append(reader.word())
                continue
            sign = reader.take(_REDIRECT)
            if sign:
                self._redirect(sign)
                continue
            sign = reader.take(_SEPARATOR)
            if sign:
                self._separate(sign)
            elif reader.looks_at("("):
                self._opened()
            elif reader.looks_at(")"):
                reader.skip(1)
                if self._closed():
                    return
            else:
                self._take(reader.word())
        self._finish("")

    @property
    def _is_test(self) -> bool:
        words = self._command.words
        return bool(words) and words[0].text == "[[" and words[-1].text != "]]"

    def _redirect(self, sign: str) -> None:
        reader, number = self._reader, sign.rstrip("<>&|-")
        sign = sign[len(number) :] if not sign.startswith("&") else sign
        number = "" if sign.startswith("&") else number
        reader.take(_BLANK)
        if not reader.rest or reader.looks_at("\n"):
            return
        target = reader.word()
        if sign in ("<<", "<<-"):
            reader.here(self._command, sign, target)
        elif sign == "<<<":
            self._command.stdin = target
        self._command.redirects.append(Redirect(sign, number, target))
        self._command.line = self._command.line or target.line

    def _separate(self, sign: str) -> None:
        self._finish(sign)
        if sign == "\n":
            self._reader.documents()
        if sign in (";;", ";&", ";;&") and self._cases:
            self._next_pattern()

    def _opened(self) -> None:
        reader, command = self._reader, self._command
        if reader.looks_at("((") and reader.sum():
            command.line = command.line or reader.line
        elif command.words and reader.looks_at("()"):
            reader.skip(2)  # a function: its name is no command
            self._command = reader.new()
        else:
            reader.skip(1)
            self._finish("(")
            self._open += 1

    def _closed(self) -> bool:
        """Tell whether this level ends here."""
        self._finish(")")
        if self._open:
            self._open -= 1
            return False
        return self._until_closed

    def _take(self, word: Word) -> None:
        command, reader = self._command, self._reader
        command.line = command.line or word.line
        if not command.words and not word.is_quoted:
            if word.text in _IN_FRONT:
                self._reserved(word.text)
                return
            if _ASSIGNED.match(word.text):
                command.assigned.append(word)
                return
        elif not command.words and _ASSIGNED.match(word.bare):
            command.assigned.append(word)
            return
        command.words.append(word)
        first = command.words[0].text
        if len(command.words) == 1 and word.text in ("for", "select", "case"):
            reader.note(command, word.text)
        elif first == "case" and word.text == "in" and len(command.words) > 2:  # noqa: PLR2004 - case WORD in
            self._finish("in")
            self._cases += 1
            self._next_pattern()
        elif first == "function" and len(command.words) == 2:  # noqa: PLR2004 - function NAME
            self._command = reader.new()

    def _reserved(self, word: str) -> None:
        command = self._command
        command.keywords = (*command.keywords, word)
        self._reader.note(command, word)
        if word in ("if", "elif", "while", "until"):
            self._condition = True
        elif word in ("then", "do", "else"):
            self._condition = False
        elif word == "esac":
            self._cases = max(0, self._cases - 1)
        command.is_condition = self._condition

    def _next_pattern(self) -> None:
        reader = self._reader
        while reader.take(_BETWEEN_PATTERNS):
            pass
        if not reader.looks_at("esac"):
            reader.pattern()

    def _finish(self, ends: str) -> None:
        command = self._command
        command.ends = ends
        if command.words or command.assigned or command.redirects or command.keywords:
            command.is_condition = self._condition
            self._reader.found.append(command)
        self._command = self._reader.new()
        self._command.begins = ends if ends in ("&&", "||", "|", "|&") else ""
