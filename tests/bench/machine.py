"""The facts of the measured machine that a reader needs for a comparison."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path

PACKAGES = ("boto3", "awscli", "django", "moto")


def facts() -> dict[str, str]:
    """Return the facts by name, without host names and paths."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return {
        "CPU": f"{_cpu()}, {os.cpu_count()} cores",
        "Memory": f"{_memory_gib():.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Packages": versions,
    }


def _cpu() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
