"""Print the completion of the command line for a shell."""

from typing import Any

from django.core.management.base import CommandParser

from n2wbackup import completion
from policies.management import output


class Command(output.Command):
    requires_system_checks = []  # it looks at nothing but the commands
    help = "Print what completes commands and options in bash or zsh. Use: source <(n2w completion bash)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("shell", choices=completion.SHELLS)

    def handle(self, **options: Any) -> None:
        self.stdout.write(completion.script(options["shell"]), ending="")
