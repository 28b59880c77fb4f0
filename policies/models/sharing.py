"""The rights that were granted on policies."""

from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from policies.models.policy import Policy


class PolicyUserPermission(UserObjectPermissionBase):
    """Guardian's permissions of users, with a real foreign key."""

    content_object = models.ForeignKey(Policy, on_delete=models.CASCADE)


class PolicyGroupPermission(GroupObjectPermissionBase):
    """Guardian's permissions of groups, with a real foreign key."""

    content_object = models.ForeignKey(Policy, on_delete=models.CASCADE)
