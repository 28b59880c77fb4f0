"""Which colours a person chose for the pages; the browser keeps it in a cookie, so the login page has them too."""

from django.http import HttpRequest

COOKIE = "theme"
AUTO = "auto"  # as the person's system has it
THEMES = (AUTO, "light", "dark")


def chosen(request: HttpRequest) -> str:
    """Return one of THEMES, whatever the cookie says."""
    named = request.COOKIES.get(COOKIE, AUTO)
    return named if named in THEMES else AUTO
