"""The page on which the owner of a policy shares it."""

from collections.abc import Mapping

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from policies.views.entering import allowed
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.views import sharing
from scripts_admin.views.sharing import Shared

WORDS: Mapping[Right, str] = {
    Right.VIEW: "sees the policy with its runs, outputs, snapshots and alarms",
    Right.EDIT: (
        "changes its targets, times and limits; pauses, disables and mutes it. Name and account stay the owner's"
    ),
    Right.RUN: (
        "backs up now, tests the scripts, has backups proven, cancels, thaws, and confirms that it is thawed"
    ),
    Right.APPROVE_HOSTS: (
        "says which hosts its scripts may speak to over SSH. This counts for all scripts of the folder"
    ),
    Right.RESTORE: (
        "restores from its backups, and reads and downloads the files in them. This shows everything that the "
        "application has stored"
    ),
}
WARNING = (
    "Runs use the owner's AWS account and scripts, whoever starts them; neither is shown. Whoever edits the policy can "
    "back up anything that this AWS account allows, and freeze it as often and as long as the limits allow."
)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def policy(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """404 both for a policy that the person may not share and for one that does not exist."""
    found = allowed(request, owner, name, permissions.may_share)
    above = reverse("policy", args=[owner, name])
    title = f"Share {found.label}"
    return sharing.page(request, Shared(found, title, above, found.label, WORDS, WARNING))
