"""The first login of a person: by the link of the server's console, or by an invitation.

A link that is no longer good is answered as a page that does not exist, with what to do.
"""

from typing import cast

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from scripts_admin.forms.profile import ChoosePasswordForm, FirstPersonForm
from scripts_admin.models import User
from scripts_admin.services import entering


@never_cache
@sensitive_post_parameters()
def first(request: HttpRequest, word: str) -> HttpResponse:
    """Make the first superuser."""
    if not entering.is_first_link(word):
        return _gone(request, "first")
    form = FirstPersonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        person = form.save(commit=False)
        try:
            entering.make_first(word, person, form.cleaned_data["new_password1"])
        except entering.LinkError:
            return _gone(request, "first")
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            return _let_in(request, person)
    return render(request, "registration/first.html", {"form": form})


@never_cache
@sensitive_post_parameters()
def invited(request: HttpRequest, word: str) -> HttpResponse:
    """Let an invited person choose a password."""
    try:
        person = entering.invited(word)
        form = ChoosePasswordForm(person, request.POST or None)
        if request.method == "POST" and form.is_valid():
            return _let_in(request, entering.accept(word, form.cleaned_data["new_password1"]))
    except entering.LinkError:
        return _gone(request, "invited")
    return render(request, "registration/invited.html", {"form": form, "person": person})


def _let_in(request: HttpRequest, person: User) -> HttpResponse:
    """Log the person in as after the right password: a second factor is still asked for."""
    request.session.flush()
    record_authentication(request, person, "password", reauthenticated=True)
    messages.success(request, f"Welcome, {person.username}.")
    return cast("HttpResponse", perform_login(request, Login(user=person, redirect_url="/")))


def _gone(request: HttpRequest, kind: str) -> HttpResponse:
    return render(request, "registration/link_gone.html", {"kind": kind}, status=404)
