"""Who comes by the provider: the way there and back, and what the browser is then."""

import requests
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth import SESSION_KEY
from django.test import Client

from scripts_admin.models import User
from scripts_admin.services import users

RIGHT = "correct horse battery"
BEGIN, BACK, CONNECT = "/login/openid/", "/login/openid/back/", "/profile/openid/connect/"
KEY, MAIL = "oidc-of-the-test", "alice@example.org"


def person(name: str, password: str = RIGHT, **more: object) -> User:
    made = User(username=name, email=f"{name}@example.org", **more)
    if password:
        made.set_password(password)
    else:
        made.set_unusable_password()
    users.save(made)
    return made


def linked(who: User, subject: str = "a-1", key: str = KEY) -> User:
    SocialAccount.objects.create(user=who, provider=key, uid=subject)
    return who


def there(client: Client, begin: str = BEGIN) -> str:
    """Go to the provider; return the address that it sends the browser back to."""
    sent = client.get(begin)
    assert sent.status_code == 302, sent.content
    where = sent["Location"]
    answer = requests.get(where, allow_redirects=False, timeout=30)
    return answer.headers["Location"].removeprefix("http://testserver")


def come(client: Client, begin: str = BEGIN) -> str:
    """Go there and back; return where the browser is sent then."""
    answer = client.get(there(client, begin))
    assert answer.status_code == 302, answer.content
    return str(answer["Location"])


def said(client: Client) -> str:
    return str(client.get("/login/").content.decode())


def who(client: Client) -> str:
    key = client.session.get(SESSION_KEY)
    return User.objects.get(pk=key).username if key else ""
