"""One's own profile: name, password, second factors, sessions."""

from allauth.account.internal.flows.reauthentication import reauthenticate_by_password
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from scripts_admin.allauth_hooks import address
from scripts_admin.forms.profile import PasswordForm, ProfileForm
from scripts_admin.models import User
from scripts_admin.services import sessions, single_sign_on, users


@login_required
def profile(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    form = ProfileForm(request.POST or None, instance=User.objects.get(pk=person.pk))
    if request.method == "POST" and form.is_valid():
        users.save(form.instance)
        messages.success(request, "Your profile was saved.")
        return redirect("profile")
    factors = list(Authenticator.objects.filter(user_id=person.pk).order_by("pk"))
    context = {
        "form": form,
        "app": [each for each in factors if each.type == Authenticator.Type.TOTP],
        "passkeys": [each for each in factors if each.type == Authenticator.Type.WEBAUTHN],
        "codes": [each for each in factors if each.type == Authenticator.Type.RECOVERY_CODES],
        "openid_name": settings.N2W_OIDC_NAME if settings.N2W_OIDC else "",
        "is_linked": single_sign_on.is_linked(person),
        "sessions": sessions.opened(person, request.session.session_key or ""),
    }
    return render(request, "profile/profile.html", context)


@sensitive_post_parameters()
@login_required
def password(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    form = PasswordForm(person, request.POST or None, address=address(request))
    if request.method == "POST" and form.is_valid():
        users.set_password(person, form.cleaned_data["new_password1"])
        before = request.session.session_key
        update_session_auth_hash(request, person)
        sessions.end_all(person, but=request.session.session_key or "")
        UserSession.objects.filter(session_key=before).delete()
        UserSession.objects.create_from_request(request)
        reauthenticate_by_password(request)
        messages.success(request, "Your password was changed. All your other sessions have ended.")
        return redirect("profile")
    return render(request, "profile/password.html", {"form": form})


@login_required
@require_POST
def end_session(request: HttpRequest, session: int) -> HttpResponse:
    person = _person(request)
    own = UserSession.objects.filter(user_id=person.pk, pk=session).first()
    if own is None:
        raise Http404
    is_this = own.session_key == request.session.session_key
    if is_this:
        request.session.flush()
    sessions.end(person, session)
    messages.success(request, "The session has ended.")
    return redirect("account_login" if is_this else "profile")


@login_required
@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    count = sessions.end_all(_person(request), but=request.session.session_key or "")
    messages.success(request, f"{count} other session{'s have' if count != 1 else ' has'} ended.")
    return redirect("profile")


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - login_required lets nobody else in
    return request.user
