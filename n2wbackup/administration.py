"""The admin's site: Django's, with our login page, and an autocomplete address that refuses instead of breaking."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect


class Autocomplete(AutocompleteJsonView):
    """Answers for fields that people can fill. The other end of a relation is no such field."""

    def process_request(self, request: HttpRequest) -> Any:  # noqa: ANN401 - Django's own tuple
        found = super().process_request(request)
        if not hasattr(found[2], "get_limit_choices_to"):
            raise PermissionDenied
        return found


class Site(AdminSite):
    site_header = site_title = "n2wbackup administration"

    def login(
        self,
        request: HttpRequest,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - Django's signature
    ) -> HttpResponse:
        """Send the visitor to the one login page, which brakes those who guess passwords."""
        index = f"{self.name}:index"
        if request.method == "GET" and self.has_permission(request):
            return redirect(index)
        return redirect_to_login(request.GET.get("next") or redirect(index).url)

    def password_change(  # type: ignore[override] # an answer of any kind is one
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """Send the person to the one page for it, which brakes those who guess the present password."""
        return redirect("profile-password")

    def autocomplete_view(self, request: HttpRequest) -> Any:  # noqa: ANN401 - stubs and Django differ
        return Autocomplete.as_view(admin_site=self)(request)
