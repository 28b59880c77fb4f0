"""A script as the rules of lint see it: its text, its language, its phase and its calls."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from scripts_admin.domain import names, remote
from scripts_admin.domain.lint import calls, shell
from scripts_admin.domain.lint.calls import Call
from scripts_admin.domain.lint.commands import Command
from scripts_admin.domain.phases import Phase

READ_CHARACTERS = 128 * 1024  # far more than a script has; a longer one is judged by its beginning
_STARTED_BY = re.compile(r"#![ \t]*(?:\S*/)?(?:env(?:[ \t]+-\S+)*[ \t]+)?(?:\S*/)?([A-Za-z]+)")
_SHELL_ENDINGS = (".sh", ".bash", ".ksh")
_LIKE_SHELL = re.compile(
    r"\s*(?:[A-Za-z_]\w*=|(?:ssh|mysql|mariadb|psql|echo|set|cd|sudo|fsfreeze|xfs_freeze|source|export)\b)"
)
_OTHER_KINDS = {"python": "python", "perl": "perl", "ruby": "ruby"}
# What a program in another language hands to a shell stands in its strings.
_STRING = re.compile(r"'([^'\\\n]+)'|\"([^\"\\\n]+)\"")
# What an author left for others to fill in: <MySQL root password>.
TO_FILL_IN = re.compile(
    r"<(?=[^ <>]{1,58}[ _-])[A-Za-z](?:[A-Za-z0-9_]|[ -](?=[A-Za-z0-9])){1,58}>"
)
_ADDRESS = re.compile("\\[email[ \u00a0]protected\\]")
_HANDED = re.compile(
    r"\s*(?:sudo\s|ssh\s|mysql\s|mariadb\s|mysqladmin\s|psql\s|redis-cli\s|mongosh?\s|curl\s|sshpass\s|fsfreeze\s|xfs_freeze\s)"
)


@dataclass(frozen=True)
class Script:
    """A file by its name. `phase` and `policy` are empty for a helper."""

    name: str
    text: str

    @property
    def base(self) -> str:
        return self.name.partition(".")[0]

    @property
    def phase(self) -> str:
        """Return the phase of this name, whatever policy it is for; empty for a helper."""
        phase, line, policy = self.base.partition("_")
        fits = phase in list(Phase) and line and names.is_policy_name(policy.partition("@")[0])
        return phase if fits and "." in self.name and not names.is_ignored(self.name) else ""

    @property
    def policy(self) -> str:
        return self.base.partition("_")[2] if self.phase else ""

    @property
    def is_on_instance(self) -> bool:
        """Tell whether it is carried to an instance, by its name: nothing of this server is around it then."""
        return remote.AT in self.policy

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def interpreter(self) -> str:
        """Return the name of the program in the first line, such as bash or python; empty without one."""
        found = _STARTED_BY.match(self.text.lstrip("\ufeff")[:300])
        return found.group(1) if found else ""

    @cached_property
    def language(self) -> str:
        """Return "shell", "python", "perl", "ruby", or "" if nobody knows."""
        if self.interpreter in calls.SHELLS:
            return "shell"
        if self.interpreter:
            return _OTHER_KINDS.get(self.interpreter, "")
        if self.name.endswith(_SHELL_ENDINGS):
            return "shell"
        begun = next(
            (
                line
                for line in self.lines[:200]
                if line.strip() and not line.lstrip().startswith("#")
            ),
            "",
        )
        return "shell" if "." not in self.name and _LIKE_SHELL.match(begun[:500]) else ""

    @property
    def is_shell(self) -> bool:
        return self.language == "shell"

    @cached_property
    def commands(self) -> Sequence[Command]:
        """Return the commands of a shell script; of other languages, those that stand in strings."""
        text = self.text.removeprefix("\ufeff")[:READ_CHARACTERS]
        if self.is_shell:
            # Read as if they were filled in: else they would hide what stands around them.
            return shell.read(_ADDRESS.sub("user@host", TO_FILL_IN.sub("to-fill-in", text)))
        found: list[Command] = []
        if self.language:
            for number, line in enumerate(text.split("\n"), start=1):
                for match in () if line.lstrip().startswith("#") else _STRING.finditer(line[:4000]):
                    handed = match.group(1) or match.group(2)
                    found += shell.read(handed, number) if _HANDED.match(handed) else []
        return found

    @cached_property
    def calls(self) -> Sequence[Call]:
        return calls.of(self.commands)

    @cached_property
    def stops_at_errors(self) -> bool:
        """Tell whether the script ends at the first command that fails."""
        first = self.lines[0].split()
        if self.interpreter in calls.SHELLS and any(
            re.fullmatch(r"-[a-z]*e[a-z]*", word) for word in first[1:]
        ):
            return True
        return any(_sets_e(call) for call in self.calls if call.name == "set" and not call.there)


def _sets_e(call: Call) -> bool:
    words = [word.text for word in call.words]
    return "errexit" in words or any(re.fullmatch(r"-[a-z]*e[a-z]*", word) for word in words)
