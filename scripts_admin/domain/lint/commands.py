"""The words of a shell script, and the commands that they make."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Word:
    """A word without its quotes, expansions as they are written; `bare` is the part that stood outside of quotes."""

    text: str
    line: int
    bare: str

    @property
    def is_quoted(self) -> bool:
        return self.bare != self.text

    @property
    def is_known(self) -> bool:
        """Tell whether the shell puts nothing of its own into it."""
        return "$" not in self.text and "`" not in self.text


@dataclass(frozen=True, slots=True)
class Redirect:
    sign: str  # as written, without the number in front
    number: str
    target: Word


@dataclass(slots=True)
class Command:
    """A simple command and what stands around it; `ends` and `begins` are the signs behind and in front of it."""

    line: int = 0
    words: list[Word] = field(default_factory=list)
    assigned: list[Word] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    stdin: Word | None = None  # the text of its here-document or here-string
    begins: str = ""
    ends: str = ""
    keywords: tuple[str, ...] = ()
    loops: int = 0
    branches: int = 0
    substitutions: int = 0  # how many $(…) it stands in
    is_condition: bool = False

    @property
    def name(self) -> str:
        return self.words[0].text if self.words else ""
