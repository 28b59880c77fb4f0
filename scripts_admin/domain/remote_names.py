"""Which instance a file of a script folder serves, and why one serves none. Pure."""

from collections.abc import Collection, Iterable, Mapping

from scripts_admin.domain import names, remote
from scripts_admin.domain.phases import Phase
from scripts_admin.domain.remote import ALL, AT, Named
from scripts_admin.domain.shown import shown

# By policy: its instances, and whether scripts run on each. None: that is not for whoever asks.
Instances = Mapping[str, Mapping[str, bool] | None]


def why_none(found: Named, instances: Instances) -> str:
    """Return why a file serves no instance, as part of a sentence; "" if it may serve one."""
    if found.policy not in instances:
        near = {name.lower(): name for name in instances}.get(found.policy.lower())
        if near:
            return f"upper and lower case differ from the policy {near}: rename it if you mean it"
        said = shown(found.policy)
        return f"this folder has no policy {said}: rename the file, or make the policy"
    if found.phase not in remote.PHASES:
        return f"{found.phase} runs on the server only: take {AT}{shown(found.instance)} out of its name"
    known = instances[found.policy]
    if known is None:
        return ""
    return _of_instance(found, known)


def _of_instance(found: Named, known: Mapping[str, bool]) -> str:
    if found.instance == ALL:
        if any(known.values()):
            return ""
        return f"no instance of {found.policy} has scripts of its own: enter how they get there"
    if known.get(found.instance):
        return ""
    said = shown(found.instance) or "nothing"
    if found.instance in known:
        return f"no scripts run on {said}: enter how they get there, in the policy {found.policy}"
    if found.instance.lower() == ALL:
        return f"only {AT}{ALL} in small letters stands for every instance: rename it"
    return f"{said} is no instance of {found.policy}: make it a target, or rename the file"


def note(found: Named, listed: Iterable[str], instances: Instances) -> str:
    """Return which instances a file for all serves, as part of a sentence; "" for one of an instance's own."""
    known = instances.get(found.policy)
    if found.instance != ALL or known is None:
        return ""
    own = _with_own(listed, found.phase, found.policy)
    served = sorted(each for each, has_scripts in known.items() if has_scripts and each not in own)
    if not served:
        return "it serves no instance, as each has a file of its own"
    return f"it serves {', '.join(served[:_SAID])}{_more(len(served) - _SAID)}"


_SAID = 3


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _with_own(listed: Iterable[str], phase: Phase, policy: str) -> set[str]:
    start = f"{names.base_name(phase, policy)}{AT}"
    every = (remote.named(name) for name in listed if name.startswith(start))
    return {each.instance for each in every if each is not None}


def renamed(listed: Collection[str], policy: str, to: str) -> list[tuple[str, str]]:
    """Return the old and the new name of each file for instances of a policy that is renamed."""
    found = ((name, remote.named(name)) for name in listed)
    return [
        (name, _renamed(name, each, to))
        for name, each in found
        if each is not None and each.policy == policy
    ]


def _renamed(name: str, found: Named, to: str) -> str:
    return (
        names.base_name(found.phase, to) + name[len(names.base_name(found.phase, found.policy)) :]
    )
