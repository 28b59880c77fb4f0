"""Alice's script for the permission matrix: a file, its version, and a run that ran it."""

from policies.models import PhaseResult, Run, RunTarget
from scripts_admin.models import Folder, ScriptVersion, User
from scripts_admin.services import versions
from tests.policies.views import script_files
from tests.policies.views.script_files import NAME, TEXT

INSTANCE = "i-0123456789abcdef0"
_OF_A_VERSION = "scripts/<str:owner>/files/<str:name>/versions/<int:version_id>/"
FORMS = {
    f"{_OF_A_VERSION}restore/": {"opened": script_files.VERSION},
    f"{_OF_A_VERSION}review/": {"message": "well done"},
    "scripts/<str:owner>/reviews/switch/": {"on": "no"},
}


def made(alice: User, run: Run) -> ScriptVersion:
    folder = Folder.objects.get(owner=alice)
    version = versions.keep(folder, NAME, TEXT, author=alice, source="page")
    Folder.objects.filter(pk=folder.pk).update(needs_approval=True)
    # It is gone, and nobody has looked yet.
    versions.keep(folder, "after_policy1.sh", TEXT, author=alice, source="page")
    there = RunTarget.objects.create(
        run=run, instance_id=INSTANCE, region="us-east-1", remote={"by": "ssm"}
    )
    for target in (None, there):
        PhaseResult.everywhere.create(
            run=run,
            target=target,
            phase="before",
            outcome="succeeded",
            script=NAME,
            script_sha256=version.sha256,
            script_version=version,
        )
    return version
