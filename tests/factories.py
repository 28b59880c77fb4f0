"""Rows for tests. Alice owns what is backed up, Bob may use her folder, Charlie is a stranger.

Numbered names are such as no test says itself (`policy1`, `user1`): which number a test gets depends
on the tests that its process ran before.
"""

import factory
from factory.django import DjangoModelFactory

from n2wbackup.lib import clock
from policies.domain.runs.trigger import Trigger
from policies.models import Account, PhaseResult, Policy, PolicyTarget, Run, RunSnapshot, RunTarget
from policies.services.window import outputs
from scripts_admin import permissions
from scripts_admin.domain.rights import Right
from scripts_admin.models import User
from scripts_admin.services import folders

ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"


class UserFactory(DjangoModelFactory[User]):
    """A user who may sign in."""

    class Meta:
        model = User
        django_get_or_create = ("username",)

    username = factory.Sequence(lambda n: f"somebody{n}")


class AccountFactory(DjangoModelFactory[Account]):
    """An AWS account reached by access keys."""

    class Meta:
        model = Account
        django_get_or_create = ("owner", "name")

    owner = factory.SubFactory(UserFactory)
    name = "lab"
    access_key_id = ACCESS_KEY_ID
    secret_access_key = SECRET_ACCESS_KEY


class PolicyFactory(DjangoModelFactory[Policy]):
    """A policy in its owner's folder, without targets."""

    class Meta:
        model = Policy

    owner = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda n: f"something{n}")
    folder = factory.LazyAttribute(lambda made: folders.of(made.owner))
    account = factory.LazyAttribute(lambda made: AccountFactory.create(owner=made.owner))
    retry_count = 0  # a failed run stays the last one


class PolicyTargetFactory(DjangoModelFactory[PolicyTarget]):
    """A target of a policy: an instance, unless told otherwise."""

    class Meta:
        model = PolicyTarget

    policy = factory.SubFactory(PolicyFactory)
    instance_id = factory.Sequence(lambda n: f"i-{n:017x}")
    region = "us-east-1"


class RunFactory(DjangoModelFactory[Run]):
    """A row of a run as it stands; `runs.start` is not asked."""

    class Meta:
        model = Run

    policy = factory.SubFactory(PolicyFactory)
    owner = factory.SelfAttribute("policy.owner")
    account = factory.SelfAttribute("policy.account")
    policy_name = factory.SelfAttribute("policy.name")
    owner_name = factory.SelfAttribute("policy.owner.username")
    trigger = Trigger.MANUAL
    created_at = factory.LazyFunction(clock.now)


class RunTargetFactory(DjangoModelFactory[RunTarget]):
    """A target of a run, fired in time."""

    class Meta:
        model = RunTarget

    run = factory.SubFactory(RunFactory)
    instance_id = factory.Sequence(lambda n: f"i-{n:017x}")
    region = "us-east-1"
    expected_volume_ids = factory.LazyFunction(lambda: ["vol-1"])
    state = RunTarget.State.FIRED
    returned_before_thaw = True


class RunSnapshotFactory(DjangoModelFactory[RunSnapshot]):
    """A snapshot of a run's target, pending."""

    class Meta:
        model = RunSnapshot

    target = factory.SubFactory(RunTargetFactory)
    snapshot_id = factory.Sequence(lambda n: f"snap-f{n:016x}")
    volume_id = "vol-1"
    created_at = factory.LazyFunction(clock.now)


def result(
    run: Run, phase: str, *, stdout: str = "", stderr: str = "", **columns: object
) -> PhaseResult:
    """Return the result of a script of the run, which printed this."""
    row = PhaseResult.objects.create(run=run, phase=phase, **{"outcome": "succeeded", **columns})
    outputs.keep(row, stdout=stdout, stderr=stderr)
    return row


def alice() -> User:
    """Return Alice, who owns."""
    return UserFactory.create(username="alice")


def bob() -> User:
    """Return Bob, whom Alice lets use her script folder."""
    made = UserFactory.create(username="bob")
    permissions.grant(made, folders.of(alice()), [Right.EDIT, Right.RUN])
    return made


def charlie() -> User:
    """Return Charlie, who has nothing to do with Alice."""
    return UserFactory.create(username="charlie")
