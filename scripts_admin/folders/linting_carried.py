"""What is wrong with the scripts that are carried to instances."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from scripts_admin.domain import remote, remote_names
from scripts_admin.domain.lint import on_secrets, on_sets
from scripts_admin.domain.lint.remarks import Level, Remark
from scripts_admin.domain.lint.script import Script
from scripts_admin.domain.phases import Outcome, Phase
from scripts_admin.domain.remote import ALL, AT, By, Remote
from scripts_admin.domain.shown import shown
from scripts_admin.folders import carried
from scripts_admin.folders.carried import Carried, InFolder
from scripts_admin.models import Folder

# What is wrong with a file of this name and text that gets to its instance so.
Texts = Callable[[str, str, Remote], list[Remark]]
_SSM_KEEPS_DAYS = 30


def look(folder: Folder, policy: str, remotes: Mapping[str, Remote], texts: Texts) -> list[Remark]:
    """Return what is wrong with the scripts of a policy on its instances, each remark once.

    The policy of a remark has the instance behind it, or `all`.
    """
    source = InFolder(folder)
    by_instance: dict[str, dict[Phase, Carried]] = {}
    for found in carried.find(source, policy, remotes):
        by_instance.setdefault(found.instance, {})[found.phase] = found
    remarks = [
        remark
        for instance, phases in by_instance.items()
        for remark in _of_instance(policy, remotes[instance], phases, texts)
    ]
    remarks += _serving_none(source, policy, remotes)
    return list(dict.fromkeys(remarks))


def of_content(name: str, content: bytes) -> list[Remark]:
    """Return why a file cannot be carried to any instance; nothing if it can."""
    said = shown(name)
    why = remote.why_not_carried(content, said)
    return [Remark(Level.ERROR, "not-carried", why, said, files=(said,))] if why else []


def _of_instance(
    policy: str, how: Remote, phases: Mapping[Phase, Carried], texts: Texts
) -> Iterator[Remark]:
    scripts: dict[str, Script] = {}
    for phase, found in phases.items():
        of = f"{policy}{AT}{_whose(found)}"
        for remark in _of_one(found, how, texts):
            yield replace(remark, policy=of, phase=phase)
        if found.can_run and found.is_file:
            scripts[phase] = Script(found.names[0], _decoded(found.content))
    has = {str(phase): found.outcome != Outcome.MISSING for phase, found in phases.items()}
    before = phases[Phase.BEFORE]
    for remark in on_sets.of_set(scripts, has):
        of = f"{policy}{AT}{_whose(before)}"
        yield replace(remark, policy=of, phase=Phase.BEFORE, files=(remark.file,))


def _whose(found: Carried) -> str:
    """Return the instance that the file's name says, so that what is wrong with a file for all is told once."""
    name = remote.named(found.script)
    return name.instance if name else found.instance


def _of_one(found: Carried, how: Remote, texts: Texts) -> Iterator[Remark]:
    said = found.names[0] if found.names else ""
    if found.problem:
        code = "ambiguous" if found.outcome == Outcome.AMBIGUOUS else "not-carried"
        yield Remark(Level.ERROR, code, found.problem, said, files=found.names)
    if not found.can_run or not found.is_file:
        return
    text = _decoded(found.content)
    yield from texts(found.script, text, how)
    told = (*on_secrets.RULES, on_secrets.over_ssm)
    secret = next((each for rule in told for each in rule(Script(said, text))), None)
    if how.by == By.SSM and secret is not None and secret.level != Level.ADVICE:
        why = (
            f"{said} goes through SSM, where AWS keeps its text for {_SSM_KEEPS_DAYS} days, with the password in it: "
            "let it read the password from a file of the instance."
        )
        yield Remark(Level.ERROR, "secret-in-ssm", why, said, secret.line, files=(said,))


def _serving_none(source: InFolder, policy: str, remotes: Mapping[str, Remote]) -> Iterator[Remark]:
    """Yield a warning for each file for an instance that the policy does not have, or that gets no scripts."""
    known = {policy: dict.fromkeys(remotes, True)}
    for name in source.names:
        found = remote.named(name)
        if found is None or found.policy != policy:
            continue
        why = remote_names.why_none(found, known)
        if why:
            said = shown(name)
            whose = shown(found.instance) or ALL
            yield Remark(
                Level.WARNING,
                "serves-no-instance",
                f"{said} is never run: {why}.",
                said,
                files=(said,),
                policy=f"{policy}{AT}{whose}",
                phase=found.phase,
            )


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")
