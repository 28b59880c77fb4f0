"""Pages that belong to no subject: the choice of colours."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from n2wbackup.lib import themes

_YEAR_SECONDS = 365 * 24 * 3600


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the colours that the person chose, and return to where they were."""
    wanted, back = request.POST.get("theme", ""), request.POST.get("next", "")
    if wanted not in themes.THEMES:
        return HttpResponseBadRequest("The colours are auto, light or dark.")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
        back = "/"
    answer = redirect(back)
    answer.set_cookie(
        themes.COOKIE,
        wanted,
        max_age=_YEAR_SECONDS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return answer
