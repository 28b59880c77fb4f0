"""The IAM actions that the product and the agents on instances have used.

If `N2W_SIMULATED_AWS_PERMISSIONS` names a file, each process writes each action there once, as a line
"who action". So the allowed actions can be compared with the used ones.
"""

import os
import threading
from collections.abc import Iterable

from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.credentials import FREE_ACTIONS

VARIABLE = "N2W_SIMULATED_AWS_PERMISSIONS"
PRODUCT, INSTANCE = "product", "instance"
_USER_AGENT = "n2wbackup"
# Actions that an SSM agent itself uses to get commands and to send their results back.
AGENT_ACTIONS = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:OpenControlChannel",
)


class Permissions:
    """The actions that one process has recorded."""

    def __init__(self) -> None:
        """Record to the file that the environment names, or nowhere."""
        self._path = os.environ.get(VARIABLE, "")
        self._lock = threading.Lock()
        self._noted: set[str] = set()

    def note(self, call: ApiCall) -> None:
        """Record the permissions of the call, if the product's adapters made it."""
        agent = call.http.headers.get("user-agent", "")
        if self._path and _USER_AGENT in agent.split():
            self._note(PRODUCT, (each for each in call.permissions() if each not in FREE_ACTIONS))

    def note_agent(self) -> None:
        """Record the permissions of an instance's agent."""
        if self._path:
            self._note(INSTANCE, AGENT_ACTIONS)

    def _note(self, who: str, actions: Iterable[str]) -> None:
        with self._lock:
            new = [line for each in actions if (line := f"{who} {each}\n") not in self._noted]
            self._noted.update(new)
        for line in new:
            # One append of a short line: it is always whole, even if other processes append meanwhile.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
