"""Logging in: name and password here, a second factor after it where the person has one."""

from typing import Any, cast

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.mfa.webauthn.views import login_webauthn
from django.conf import settings
from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse

from scripts_admin.forms.logins import LoginForm

HALF_SECONDS = 900  # a visitor's session, until they are logged in


class LoginView(auth.LoginView):
    """The one door: the admin sends its visitors here, too."""

    authentication_form = LoginForm

    def get_context_data(self, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - Django's signature
        name = settings.N2W_OIDC_NAME if settings.N2W_OIDC else ""
        return super().get_context_data(openid_name=name, **more)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        person = form.get_user()
        # Whoever planted the session's key in this browser must not hold a session that is half logged in.
        self.request.session.cycle_key()
        # Such a login counts as a confirmation for the next minutes.
        record_authentication(self.request, person, "password", reauthenticated=True)
        self.request.session.set_expiry(HALF_SECONDS)
        wanted = Login(user=person, redirect_url=self.get_success_url())
        return cast("HttpResponse", perform_login(self.request, wanted))


def passkey_login(request: HttpRequest) -> HttpResponse:
    """Log in with a passkey alone; asking for it makes a session, which ends soon if nothing comes of it."""
    answer = cast("HttpResponse", login_webauthn(request))
    if not request.user.is_authenticated and not request.session.is_empty():
        request.session.set_expiry(HALF_SECONDS)
    return answer
