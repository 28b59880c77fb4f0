"""The settings of login by OpenID Connect, each read in a fresh Python process."""

from pathlib import Path

import pytest

from tests.n2wbackup.lib.test_settings import _python, _read, _refusal

OIDC = {"N2W_OIDC_CLIENT_ID": "n2w", "N2W_OIDC_CLIENT_SECRET": "not-to-be-told"}


@pytest.mark.parametrize(
    "issuer", ["http://login.example.org", "login", "https://a:b@c/", "https://a/?b"]
)
def test_an_issuer_that_is_none_is_refused_without_the_secret(tmp_path: Path, issuer: str) -> None:
    refused = _refusal(N2W_HOME=str(tmp_path), N2W_OIDC_ISSUER=issuer, **OIDC)

    assert "N2W_OIDC_ISSUER is not the address of a provider" in refused
    assert "not-to-be-told" not in refused


def test_the_secret_of_the_provider_may_be_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("in-the-file\n")
    named = {**OIDC, "N2W_OIDC_ISSUER": "https://login.example.org/", "N2W_OIDC_CLIENT_SECRET": ""}

    key, providers = _read(
        "N2W_OIDC SOCIALACCOUNT_PROVIDERS",
        N2W_HOME=str(tmp_path),
        N2W_OIDC_CLIENT_SECRET_FILE=str(secret),
        **named,
    )

    assert str(key).startswith("oidc-")
    assert "in-the-file" in str(providers)


def test_without_pages_nothing_of_the_provider_is_read(tmp_path: Path) -> None:
    """A thaw goes on, whatever somebody wrote into the settings of the login."""
    code = (
        "from n2wbackup.lib import programs; programs.without_pages();"
        "from django.conf import settings; print(settings.N2W_OIDC == '')"
    )

    found = _python(code, {"N2W_HOME": str(tmp_path), "N2W_OIDC_ISSUER": "nonsense"})

    assert found.stdout == "True\n", found.stderr


def test_half_of_the_settings_is_refused(tmp_path: Path) -> None:
    refused = _refusal(N2W_HOME=str(tmp_path), N2W_OIDC_ISSUER="https://login.example.org")

    assert "N2W_OIDC_CLIENT_ID and N2W_OIDC_CLIENT_SECRET is not set: set it" in refused


def test_a_name_that_fits_no_button_is_refused(tmp_path: Path) -> None:
    refused = _refusal(N2W_HOME=str(tmp_path), N2W_OIDC_NAME="x" * 41)

    assert "N2W_OIDC_NAME has more than 40 characters" in refused
