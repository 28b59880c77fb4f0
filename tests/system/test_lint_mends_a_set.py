"""The faulty set on the pages of a real server: uploaded, mended by lint's advice, and it freezes a real MariaDB.

Every step is a page's: the key is made, the host approved and the backup started there.
"""

import html
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from scripts_admin.domain import ssh
from scripts_admin.domain.lint.remarks import Level, Remark
from tests.ground import components, faulty_mysql, ledger, mariadb, processes, sshd
from tests.ground.faulty_mysql import AFTER, BEFORE, COMPLETE, FAULTY, INNER
from tests.system.product import OWNER, Product, serving
from tests.system.visitor import Visitor

pytest_plugins = ("tests.ground.fixtures",)
pytestmark = [pytest.mark.real, pytest.mark.timeout(300), pytest.mark.lasts(20)]
FILES, HOSTS, KEYS = (f"/scripts/{OWNER}/{part}/" for part in ("files", "hosts", "keys"))
POLICY = "shop"


@pytest.fixture
def product(ground_folder: Path) -> Iterator[Product]:
    """A server with a policy, on whose pages nobody has been yet."""
    home = ground_folder / "mends"
    home.mkdir()
    more = {"N2W_SSH_NETWORKS": "127.0.0.0/8"}
    with serving(home / "home", home, policy={"name": POLICY}, more=more) as served:
        yield served


@pytest.fixture
def visitor(product: Product) -> Visitor:
    made = Visitor(product.port)
    made.log_in(OWNER, product.environment["ALICE_PASSWORD"])
    return made


def test_the_set_that_is_mended_on_the_page_freezes_a_database_behind_a_host_approved_there(
    product: Product,
    visitor: Visitor,
    ground_folder: Path,
    database: mariadb.Server,
    ground_sshd: sshd.Sshd,
    writer: ledger.Writer,
) -> None:
    key = _make_key(product, visitor, ground_sshd)
    places = {
        "@KEY@": str(key),
        "@OPTIONS@": f"-p {ground_sshd.port}",
        "@HOST@": f"{ground_sshd.user}@127.0.0.1",
        "@FOLDER@": str(product.folder),
        "@CLIENT@": str(components.program("mariadb")),
        "@OPTION_FILE@": str(database.option_file(ground_folder / "mends" / "backup.cnf")),
        "@WHEN@": str(ground_folder / "mends" / "when"),
        "@HELD@": str(ground_folder / "mends" / "held"),
    }
    first = {name: faulty_mysql.filled(text, places).encode() for name, text in FAULTY.items()}
    visitor.fill(f"/scripts/{OWNER}/upload/", files=first)
    told = faulty_mysql.mended(lambda name, text: _saved_and_advised(visitor, name, text), places)
    assert {(BEFORE, "lock-ends-with-client"), (AFTER, "unlocks-nothing")} <= told.codes
    for name in (BEFORE, AFTER, COMPLETE, INNER):
        assert (product.folder / name).read_text() == told.texts[name] != first[name].decode()

    _approve(visitor, ground_sshd)
    writer.wait_for(5)
    database.sql("FLUSH BINARY LOGS")
    logs = database.binary_logs()
    visitor.press(f"/policies/{OWNER}/{POLICY}/", f"/policies/{OWNER}/{POLICY}/back-up/")
    run = product.wait_for_end(visitor.at.strip("/").rpartition("/")[2])

    assert (run["state"], run["consistency"]) == ("succeeded", "application"), json.dumps(run)
    before, after = run["phases"]["before"], run["phases"]["after"]
    frozen, thawed = (
        datetime.fromisoformat(each) for each in (before["ended_at"], after["started_at"])
    )
    writer.wait_for(20)
    assert writer.between(frozen, thawed) == []
    assert database.sessions_of_backup_user() == []
    assert logs[0] not in database.binary_logs(), "complete purges what the backup has"


def _make_key(product: Product, visitor: Visitor, server: sshd.Sshd) -> Path:
    """Make a key on its page, let it in with the line that the page shows, and return its file."""
    page = html.unescape(visitor.fill(KEYS, do="make"))
    line = re.search(r"restrict ssh-ed25519 [^<\n]+", page)
    assert line, page
    server.let_in(line[0])
    (made,) = [
        path for path in (product.home / "ssh" / OWNER).glob("id_*") if path.suffix != ".pub"
    ]
    return made


def _saved_and_advised(visitor: Visitor, name: str, text: str) -> list[Remark]:
    """Save the text in the editor, unless it is there already; return what the file's page says about it."""
    edit = f"{FILES}{name}/edit/"
    page = visitor.read(f"{FILES}{name}/")
    if _text(visitor.read(edit)) != text:
        page = visitor.fill(edit, text=text.replace("\n", "\r\n"), message="as lint says")
        assert visitor.at == f"{FILES}{name}/", page
    said = page.partition("What lint says")[2]
    found = re.findall(r'state state-(\w+)".*?class="remark-code">([^<]+)</code>', said, re.DOTALL)
    return [Remark(Level(level), code, "") for level, code in found]


def _text(page: str) -> str:
    found = re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", page, re.DOTALL)
    assert found
    return html.unescape(found[1])


def _approve(visitor: Visitor, server: sshd.Sshd) -> None:
    """Add the host, and approve the key that it shows: the same that its own file has."""
    visitor.fill(HOSTS, name="127.0.0.1", port=str(server.port), expected="")
    host = visitor.at
    processes.wait_until(
        lambda: "Approve this key" in visitor.read(host), seconds=60, what="the host's key"
    )
    shown = re.search(r'name="fingerprint" value="([^"]+)"', visitor.read(host))
    assert shown
    assert [shown[1]] == ssh.fingerprints_on(server.host_key)
    page = visitor.fill(host, do="approve", fingerprint=shown[1])
    assert "is approved" in page
