"""The guide's MySQL set in the browser: it is made as it stands there, advised about, mended and saved."""

import html
from pathlib import Path

import pytest
from django.test import Client

from tests.policies.views.page import Sent, read

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]
_SSH = "ssh -i /cpmdata/scripts/mysshkey.pem root@db1.example.internal"
BEFORE = f"""#!/bin/bash
{_SSH} "mysql -u root \N{EN DASH}psecret -e 'flush tables with read lock; flush logs;'"
if [$? -gt 0[; then
echo "Failed running mysql freeze" 1>&2
exit 1
else
echo "mysql freeze succeeded" 1>&2
fi
"""
MENDED = """#!/bin/bash
# before: locks the tables in a session of its own that stays behind; after ends it.
exec bash "$(dirname -- "$0")/hold-shop.sh" before
"""
ADVICE = ("[$?", "this lock ends with its client", "BatchMode", "password")


def advice(client: Client, name: str) -> str:
    return html.unescape(read(client, f"/scripts/alice/files/{name}/").text)


def test_the_set_is_made_advised_about_mended_and_saved(client: Client, place: Path) -> None:
    form = Sent(client.get("/scripts/alice/new/?name=before_shop.bash").content.decode()).values
    sent = form | {"text": BEFORE.replace("\n", "\r\n")}
    assert client.post("/scripts/alice/new/", sent).status_code == 302
    assert (place / "before_shop.bash").read_text() == BEFORE

    said = advice(client, "before_shop.bash")
    assert "What lint says" in said
    for word in ADVICE:
        assert word in said, word
    assert "secret" not in said.partition("What lint says")[2].partition("#!/bin/bash")[0]

    address = "/scripts/alice/files/before_shop.bash/edit/"
    form = Sent(client.get(address).content.decode()).values
    assert client.post(address, form | {"text": MENDED.replace("\n", "\r\n")}).status_code == 302

    said = advice(client, "before_shop.bash")
    assert (place / "before_shop.bash").read_text() == MENDED
    assert not [word for word in ADVICE if word in said]
