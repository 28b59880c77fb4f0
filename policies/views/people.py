"""The pages of people, for superusers. To everybody else they do not exist."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from policies.selectors import people as selectors
from policies.views import drafts, visitor
from scripts_admin import permissions
from scripts_admin.forms.profile import InviteForm
from scripts_admin.models import User
from scripts_admin.services import entering, people, sessions
from scripts_admin.views.confirming import confirmed

ON_A_PAGE = 50
View = Callable[..., HttpResponse]


def for_superusers(view: View) -> View:
    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401 - the view's own
        if not permissions.may_manage_people(request.user):
            raise Http404
        return view(request, *args, **kwargs)

    return drafts.required(page)


def _deed(done: Callable[[User, User, HttpRequest], str]) -> View:
    """Make the view of a button of a person's page: confirmed, and told in a message."""

    @wraps(done)
    def page(request: HttpRequest, name: str) -> HttpResponse:
        person = _named(name)
        try:
            messages.success(request, done(person, visitor.person(request), request))
        except people.NotPossibleError as error:
            messages.error(request, str(error))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        return redirect("person", name)

    view = for_superusers(require_POST(confirmed(page)))
    view.form_page = _own_page  # type: ignore[attr-defined] # confirming.py asks for it
    return view


def _own_page(request: HttpRequest) -> str:
    found = request.resolver_match
    return reverse("person", args=[found.kwargs["name"]]) if found else reverse("people")


@for_superusers
def listing(request: HttpRequest) -> HttpResponse:
    page = visitor.page(request, selectors.listed(), ON_A_PAGE)
    context = {"page": page, "people": selectors.rows(list(page))}
    return render(request, "policies/people/people.html", context)


@for_superusers
@never_cache
def detail(request: HttpRequest, name: str) -> HttpResponse:
    person = _named(name)
    on = selectors.goes_on(person)
    context = {
        "row": selectors.rows([person])[0],
        "person": person,
        "sessions": sessions.opened(person),
        "goes_on": list(on[:ON_A_PAGE]),
        "goes_on_count": on.count(),
        "fail_count": selectors.fails(person),
    }
    return render(request, "policies/people/person.html", context)


@for_superusers
@confirmed
@never_cache
def invite(request: HttpRequest) -> HttpResponse:
    form = InviteForm(drafts.sent(request))
    if request.method == "POST" and form.is_valid():
        person = form.save(commit=False)
        try:
            word = entering.invite(person, visitor.person(request))
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            drafts.forget(request)
            return _shown(request, person, word)
    return render(request, "policies/people/invite.html", {"form": form})


@for_superusers
@require_POST
@confirmed
@never_cache
def new_link(request: HttpRequest, name: str) -> HttpResponse:
    """Show a new link for a password. The answer to the POST shows it, so it is nowhere else."""
    person = _named(name)
    return _shown(request, person, entering.renew(person, visitor.person(request)))


new_link.form_page = _own_page  # type: ignore[attr-defined] # confirming.py asks for it


def _shown(request: HttpRequest, person: User, word: str) -> HttpResponse:
    link = request.build_absolute_uri(reverse("invited", args=[word]))
    return render(request, "policies/people/link.html", {"person": person, "link": link})


def _deactivate(person: User, actor: User, _: HttpRequest) -> str:
    people.deactivate(person, actor)
    count, failing = selectors.goes_on(person).count(), selectors.fails(person)
    said = f"{person.username} can no longer log in; all sessions ended."
    if count:
        said += (
            f" Policies of theirs that still start by themselves: {count}, without their scripts."
        )
    if failing:
        said += f" Of these with the server's own AWS role, so that they fail: {failing}."
    return f"{said} Disable them, or enter them for somebody else." if count else said


def _reactivate(person: User, actor: User, _: HttpRequest) -> str:
    people.reactivate(person, actor)
    return f"{person.username} can log in again."


def _rights(person: User, actor: User, request: HttpRequest) -> str:
    staff, superuser = "staff" in request.POST, "superuser" in request.POST
    people.set_rights(person, actor, staff=staff, superuser=superuser)
    return f"The rights of {person.username} were saved."


def _reset(person: User, actor: User, _: HttpRequest) -> str:
    people.reset_second_factor(person, actor)
    return (
        f"{person.username} has no second factor any more and was logged out. "
        "Tell them to add a new one at once."
    )


def _end_sessions(person: User, actor: User, _: HttpRequest) -> str:
    count = people.end_sessions(person, actor)
    return f"{count} session{'' if count == 1 else 's'} of {person.username} ended."


deactivate = _deed(_deactivate)
reactivate = _deed(_reactivate)
set_rights = _deed(_rights)
reset_second_factor = _deed(_reset)
end_sessions = _deed(_end_sessions)


def _named(name: str) -> User:
    person = User.objects.filter(username=name).prefetch_related("groups").first()
    if person is None:
        raise Http404
    return person
