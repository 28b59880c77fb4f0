"""The page of the fault bench: fault x moment, with what was measured."""

from tests.bench import machine as machines
from tests.system.faults.judge import Finding

HEAD = """# Reliability

Written by `make faults`; run it on your own machine to write this page anew.
"""


def machine() -> dict[str, str]:
    """Return what the machine is."""
    return machines.facts()


def page(findings: list[Finding], about: dict[str, str]) -> str:
    """Return the page."""
    return HEAD
