"""Logging in: name and password here, a second factor after it where the person has one."""

from typing import cast

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpResponse

from scripts_admin.forms.logins import LoginForm


class LoginView(auth.LoginView):
    """The one door: the admin sends its visitors here, too."""

    authentication_form = LoginForm

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        person = form.get_user()
        # Whoever planted the session's key in this browser must not hold a session that is half logged in.
        self.request.session.cycle_key()
        # Such a login counts as a confirmation for the next minutes.
        record_authentication(self.request, person, "password", reauthenticated=True)
        wanted = Login(user=person, redirect_url=self.get_success_url())
        return cast("HttpResponse", perform_login(self.request, wanted))
