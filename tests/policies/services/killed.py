"""A process that dies at some step."""


class KilledError(BaseException):
    """As SIGKILL: nothing in the worker's way catches it."""
