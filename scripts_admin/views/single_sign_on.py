"""Coming by OpenID Connect: the way there, the way back, and the link on one's profile."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from allauth.account.utils import get_next_redirect_url
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from scripts_admin.models import User
from scripts_admin.services import single_sign_on as links
from scripts_admin.single_sign_on import HALF_SECONDS, refused
from scripts_admin.views.confirming import confirmed


class _Way(OpenIDConnectOAuth2Adapter):  # type: ignore[misc] # it bears no annotations
    """The way to the provider and back, which has one address of ours."""

    def get_callback_url(self, request: HttpRequest, app: object) -> str:
        del app
        return request.build_absolute_uri(reverse("openid-back"))


# A failed request is an OSError; django-allauth calls a subject that is too long a wrong setting.
_NO_ANSWER = (OSError, ValueError, KeyError, TypeError, ImproperlyConfigured)
_MAY_CONNECT = "n2w_may_connect"  # in the session: this person has just pressed the button


def _where_it_is_on(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def page(request: HttpRequest) -> HttpResponse:
        if not settings.N2W_OIDC:
            raise Http404
        return view(request)

    return page


@_where_it_is_on
@require_safe
@never_cache
def begin(request: HttpRequest) -> HttpResponse:
    """Send a visitor to the provider, to log in. Who is logged in shows anew there who they are."""
    wanted = {"process": "login", "next_url": get_next_redirect_url(request), "auth_params": {}}
    if request.user.is_authenticated:
        # With max_age, the provider has to say when it asked; without that nothing is believed.
        wanted["auth_params"] = {"prompt": "login", "max_age": "0"}
        wanted["data"] = {"confirms": request.user.pk, "at": time.time()}
    return _sent(request, **wanted)


@_where_it_is_on
@require_POST
@confirmed
@never_cache
def connect(request: HttpRequest) -> HttpResponse:
    """Prepare a link to the provider. The page leads on by itself: a form may not lead to another site."""
    request.session[_MAY_CONNECT] = True
    answer = render(request, "profile/connect.html", {"name": settings.N2W_OIDC_NAME})
    answer["Refresh"] = f"0; url={reverse('openid-go')}"
    return answer


@_where_it_is_on
@login_required
@require_safe
@never_cache
def go(request: HttpRequest) -> HttpResponse:
    """Send the person to the provider, to be linked: once for each press of the button."""
    if not request.session.pop(_MAY_CONNECT, False):
        return redirect("profile")
    data = {"person": request.user.pk}
    return _sent(request, process="connect", data=data, auth_params={})


def _sent(request: HttpRequest, **wanted: Any) -> HttpResponse:  # noqa: ANN401 - allauth's
    if not request.user.is_authenticated:
        request.session.set_expiry(HALF_SECONDS)
    provider = get_adapter(request).get_provider(request, settings.N2W_OIDC)
    provider.oauth2_adapter_class = _Way
    return _answered(request, lambda: provider.redirect(request, **wanted))


@_where_it_is_on
@require_safe
@never_cache
def back(request: HttpRequest) -> HttpResponse:
    """Take a visitor who comes from the provider."""
    view = OAuth2CallbackView.adapter_view(_Way(request, settings.N2W_OIDC))
    return _answered(request, lambda: view(request))


def _answered(request: HttpRequest, step: Callable[[], Any]) -> HttpResponse:
    """Do the step; if the provider does not answer as one, send the visitor back with a sentence."""
    try:
        return cast("HttpResponse", step())
    except _NO_ANSWER as error:
        why = (
            f"{settings.N2W_OIDC_NAME} does not answer as it should ({type(error).__name__}): log in with your "
            "password, and tell whoever runs this server."
        )
        return refused(request, why)


@_where_it_is_on
@require_POST
@confirmed
def disconnect(request: HttpRequest) -> HttpResponse:
    """End the link, unless the person has no other way in."""
    person = request.user
    assert isinstance(person, User)  # noqa: S101 - `confirmed` lets nobody else in
    if not person.has_usable_password():
        messages.error(
            request,
            "You have no password, so you could not log in any more: ask a superuser for a link, and choose one.",
        )
    elif links.unlink(person):
        messages.success(request, f"You cannot log in with {settings.N2W_OIDC_NAME} any more.")
    return redirect("profile")


# A form that comes too late begins again there.
for _deed in (connect, disconnect):
    _deed.form_page = lambda _: reverse("profile")  # type: ignore[attr-defined] # confirming.py asks for it
