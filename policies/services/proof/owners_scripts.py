"""The owner's own part of a proof: `verify_<policy>.*` and `start_<policy>.*` in the folder, as texts."""

from policies.domain.errors import ImageNotPossibleError
from policies.models import Policy
from scripts_admin.domain import names
from scripts_admin.domain.shown import shown
from scripts_admin.folders import storage
from scripts_admin.services import approvals, versions

VERIFY, START = "verify", "start"
_MOST = 1024 * 1024


def text(policy: Policy | None, word: str) -> bytes | None:
    """Return the policy's script for `word`; None if it has none.

    ImageNotPossibleError if it cannot be told what it says, or nobody has approved it where that is asked for.
    """
    if policy is None:
        return None
    folder = policy.folder
    try:
        found = names.candidates(storage.listed(folder), word, policy.name)
        if not found:
            return None
        if len(found) > 1:
            listed = ", ".join(map(shown, found))
            message = f"More than one file fits {word} of {policy.name}: keep only one of {listed}."
            raise ImageNotPossibleError(message)
        if folder.needs_approval:
            return _approved(policy, found[0])
        return storage.content(folder, storage.path(folder) / found[0], _MOST).data
    except OSError as error:
        message = f"{word} of {policy.name} cannot be read ({error.strerror}): look at the file."
        raise ImageNotPossibleError(message) from error


def _approved(policy: Policy, name: str) -> bytes:
    version = approvals.approved(policy.folder, [name]).get(name)
    content = None if version is None or version.is_deleted else versions.content(version)
    if content is None:
        message = f"Nobody has approved {shown(name)} yet, so no proof runs it: let another person approve it."
        raise ImageNotPossibleError(message)
    return content
