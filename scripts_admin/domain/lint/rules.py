"""All rules about one file."""

from collections.abc import Iterable
from dataclasses import replace

from scripts_admin.domain.lint import (
    on_disks,
    on_flow,
    on_instances,
    on_locks,
    on_prompts,
    on_secrets,
    on_ssh,
    on_text,
    on_words,
)
from scripts_admin.domain.lint.on_disks import NOWHERE, Surroundings
from scripts_admin.domain.lint.remarks import Remark
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.remote import Remote

_OF_COMMANDS = (
    *on_words.RULES,
    *on_secrets.RULES,
    *on_locks.RULES,
    *on_ssh.RULES,
    *on_prompts.RULES,
    *on_flow.RULES,
)
AT_MOST = 100  # remarks about a file: more help nobody
OF_A_CODE = 10


def of_script(
    script: Script, around: Surroundings = NOWHERE, how: Remote | None = None
) -> list[Remark]:
    """Return what is wrong with a file, in the order of its lines; a private key is not looked at further.

    `around` is this server's, and no word about a script that runs on an instance. `how` says how such a script gets
    there; None if nobody knows, or if it may be more than one way.
    """
    found = [remark for rule in on_text.RULES for remark in rule(script)]
    if not on_text.is_private_key(script.text):
        found += [remark for rule in _OF_COMMANDS for remark in rule(script)]
        found += [remark for rule in on_disks.RULES for remark in rule(script, around)]
        if script.is_on_instance:
            found += [remark for rule in on_instances.RULES for remark in rule(script, how)]
    return in_order(replace(each, file=script.name, files=(script.name,)) for each in found)


def in_order(remarks: Iterable[Remark]) -> list[Remark]:
    """Return each remark once, in the order of the lines; of many of a kind the first."""
    counted: dict[str, int] = {}
    kept: list[Remark] = []
    for each in sorted(dict.fromkeys(remarks), key=lambda remark: remark.line):
        counted[each.code] = counted.get(each.code, 0) + 1
        if counted[each.code] <= OF_A_CODE and len(kept) < AT_MOST:
            kept.append(each)
    return kept
