"""What a person did before a test begins: confirmed who they are, added an app."""

import time

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.contrib.auth import SESSION_KEY
from django.test import Client

from scripts_admin.models import User

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def confirm(client: Client) -> Client:
    """Let the session of the client be confirmed right now."""
    session = client.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [
        {"method": "password", "at": time.time(), "reauthenticated": True}
    ]
    session["account_authentication_methods_user"] = session[SESSION_KEY]
    session.save()
    return client


def add_app(person: User) -> list[str]:
    """Give the person an app; return their recovery codes."""
    TOTP.activate(person, SECRET)
    return list(RecoveryCodes.activate(person).get_unused_codes())


def code(secret: str = SECRET) -> str:
    """Return what the app shows now."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))
