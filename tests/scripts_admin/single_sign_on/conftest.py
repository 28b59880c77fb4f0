"""A provider that runs, the settings that name it, and a person."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from pytest_django import Settings

from scripts_admin.models import User
from tests.ground import openid
from tests.ground.openid import Provider
from tests.scripts_admin.single_sign_on.visits import KEY, MAIL, person


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with openid.running() as provider:
        yield provider


@pytest.fixture(autouse=True)
def provider(running: Provider, settings: Settings, tmp_path: object) -> Provider:
    """The provider, freshly said who comes: Alice, with an address that it has verified."""
    settings.N2W_SCRIPTS_ROOT = tmp_path
    settings.N2W_OIDC, settings.N2W_OIDC_NAME = KEY, "Example ID"
    settings.N2W_OIDC_INVITED_BY_EMAIL = False
    own = {"server_url": running.issuer, "oauth_pkce_enabled": True, "uid_field": "sub"}
    app = {"provider_id": KEY, "name": "Example ID", "client_id": openid.CLIENT, "settings": own}
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {"APPS": [{**app, "secret": openid.SECRET}]}
    }
    cache.clear()
    running.claims = {"sub": "a-1", "email": MAIL, "email_verified": True}
    running.more, running.says_issuer = {}, ""
    running.refuses = running.is_broken = running.takes_old = running.is_silent = False
    running.asked_at = 0
    running.asked.clear()
    return running


@pytest.fixture
def alice() -> User:
    return person("alice")
