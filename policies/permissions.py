"""Who may use the server's own AWS role, which belongs to nobody: decided here and nowhere else."""

from typing import TYPE_CHECKING

from django.contrib.auth.models import Permission

if TYPE_CHECKING:
    from scripts_admin.models import User

_APP, _SERVER_ROLE = "policies", "use_server_role"


def may_use_server_role(user: "User") -> bool:
    """Tell whether the user's accounts may use it: a superuser, or whom one gave the permission.

    Of an inactive user neither counts. Asked of the database each time, as the right may be withdrawn.
    """
    fresh = type(user).objects.filter(pk=user.pk).first() or user
    return fresh.has_perm(f"{_APP}.{_SERVER_ROLE}")


def has_server_role(user: "User") -> bool:
    """Tell whether the permission was given to this user directly, not by a group or as a superuser."""
    return bool(user.pk) and user.user_permissions.filter(pk=_server_role().pk).exists()


def set_server_role(user: "User", *, given: bool) -> None:
    """Give the user the permission directly, or take it away; what groups give stays."""
    if given:
        user.user_permissions.add(_server_role())
    else:
        user.user_permissions.remove(_server_role())


def _server_role() -> Permission:
    return Permission.objects.get(content_type__app_label=_APP, codename=_SERVER_ROLE)
