"""What the carrier of instances that are reached over SSM is told: see `by_ssm`. It needs nothing of the SDK."""

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict

from policies.ports import Credentials
from scripts_admin.domain.remote import DOCUMENT
from scripts_admin.runners.ssm_texts import Texts

# -B: a carrier writes nothing, not even the modules that it has compiled.
PROGRAM = (sys.executable, "-B", "-m", "policies.adapters.by_ssm")


def document(
    run: str,
    region: str,
    credentials: Credentials,
    nonce: str,
    texts: Mapping[str, Texts],
    window_seconds: float,
    kind: str = DOCUMENT,
) -> Mapping[str, object]:
    """Return what standard input gets. Instances with the same texts share them. `kind` is SSM's document.

    The credentials will outlive so many seconds: no call in the window has to get new ones.
    """
    known = list(dict.fromkeys(texts.values()))
    return {
        "run": run,
        "region": region,
        "document": kind,
        "nonce": nonce,
        "window_seconds": window_seconds,
        "credentials": asdict(credentials),
        "environment": {k: v for k, v in os.environ.items() if k.startswith("AWS_")},
        "texts": [asdict(each) for each in known],
        "instances": {each: known.index(texts[each]) for each in texts},
    }
