"""Login by OpenID Connect, beside the password: off, unless an operator names a provider.

Nothing of it is read by processes without pages: a wrong word here stops no thaw.
"""

import hashlib
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from n2wbackup.lib import programs
from n2wbackup.settings.env import flag, read

__all__ = [
    "N2W_OIDC",
    "N2W_OIDC_INVITED_BY_EMAIL",
    "N2W_OIDC_NAME",
    "SOCIALACCOUNT_ADAPTER",
    "SOCIALACCOUNT_AUTO_SIGNUP",
    "SOCIALACCOUNT_EMAIL_AUTHENTICATION",
    "SOCIALACCOUNT_EMAIL_VERIFICATION",
    "SOCIALACCOUNT_PROVIDERS",
    "SOCIALACCOUNT_STORE_TOKENS",
]

_NEEDED = ("N2W_OIDC_ISSUER", "N2W_OIDC_CLIENT_ID", "N2W_OIDC_CLIENT_SECRET")
_LONGEST_NAME = 40
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    is_near = parts.scheme == "http" and parts.hostname in _LOOPBACK
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if not parts.hostname or not is_plain or not (parts.scheme == "https" or is_near):
        raise ImproperlyConfigured(
            "N2W_OIDC_ISSUER is not the address of a provider: write it like https://login.example.org/realm, "
            "with https, and without a name, a password or anything behind a question mark."
        )
    return text.rstrip("/")


def _app() -> dict[str, Any] | None:
    """Return what django-allauth needs to know of the provider; None if no provider is named."""
    given = {name: read(name) for name in _NEEDED}
    missing = [name for name, value in given.items() if not value]
    if len(missing) == len(_NEEDED):
        return None
    if missing:
        raise ImproperlyConfigured(
            f"Login by OpenID Connect needs {', '.join(_NEEDED)}, and {' and '.join(missing)} is not set: "
            "set it, or unset the others."
        )
    issuer = _issuer(given["N2W_OIDC_ISSUER"])
    # The issuer is a part of the key of what is linked: another provider's people are never taken for this one's.
    key = f"oidc-{hashlib.sha256(issuer.encode()).hexdigest()[:24]}"
    return {
        "provider_id": key,
        "name": N2W_OIDC_NAME,
        "client_id": given["N2W_OIDC_CLIENT_ID"],
        "secret": given["N2W_OIDC_CLIENT_SECRET"],
        "settings": {"server_url": issuer, "oauth_pkce_enabled": True, "uid_field": "sub"},
    }


def _name() -> str:
    text = read("N2W_OIDC_NAME", "single sign-on")
    if len(text) > _LONGEST_NAME or not text.isprintable():
        raise ImproperlyConfigured(
            f"N2W_OIDC_NAME has more than {_LONGEST_NAME} characters or a control character: set it to what people "
            "call the provider."
        )
    return text


N2W_OIDC_NAME = _name() if programs.has_pages else ""
# Whoever was invited and has not come yet may come by an e-mail address that the provider has verified.
N2W_OIDC_INVITED_BY_EMAIL = programs.has_pages and flag("N2W_OIDC_INVITED_BY_EMAIL")
_found = _app() if programs.has_pages else None
# The key of the provider; "" if there is none.
N2W_OIDC = str(_found["provider_id"]) if _found else ""

SOCIALACCOUNT_ADAPTER = "scripts_admin.single_sign_on.Adapter"
SOCIALACCOUNT_AUTO_SIGNUP = False  # nobody signs up
# An address alone lets nobody in: services/single_sign_on.py has the one case where it links.
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [_found]}} if _found else {}
SOCIALACCOUNT_STORE_TOKENS = False
