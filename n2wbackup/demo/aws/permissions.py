"""Which IAM actions were asked for, by the product and by the agents on instances.

Where `N2W_SIMULATED_AWS_PERMISSIONS` names a file, each is written there once by each process, one line
of "who action". So that what is allowed can be compared with what is used.
"""

import os
import threading
from collections.abc import Iterable

from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.credentials import FREE_ACTIONS

VARIABLE = "N2W_SIMULATED_AWS_PERMISSIONS"
PRODUCT, INSTANCE = "product", "instance"
_USER_AGENT = "n2wbackup"
# What an SSM agent asks for by itself so that commands reach it and its answers come back.
AGENT_ACTIONS = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:OpenControlChannel",
)


class Permissions:
    """The record of one process."""

    def __init__(self) -> None:
        """Write to the file that the environment names, or nowhere."""
        self._path = os.environ.get(VARIABLE, "")
        self._lock = threading.Lock()
        self._noted: set[str] = set()

    def note(self, call: ApiCall) -> None:
        """Write down what the call needs, where the product's adapters made it."""
        agent = call.http.headers.get("user-agent", "")
        if self._path and _USER_AGENT in agent.split():
            self._note(PRODUCT, (each for each in call.permissions() if each not in FREE_ACTIONS))

    def note_agent(self) -> None:
        """Write down what the agent of an instance asks for."""
        if self._path:
            self._note(INSTANCE, AGENT_ACTIONS)

    def _note(self, who: str, actions: Iterable[str]) -> None:
        with self._lock:
            new = [line for each in actions if (line := f"{who} {each}\n") not in self._noted]
            self._noted.update(new)
        for line in new:
            # One write of a short line, at the end wherever others have put it: whole in every case.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
