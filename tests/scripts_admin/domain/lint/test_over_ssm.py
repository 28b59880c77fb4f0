"""What lint says about secrets in scripts that AWS keeps for 30 days."""

import pytest

from scripts_admin.domain.lint import rules
from scripts_admin.domain.lint.script import Script

REMOTE, LOCAL = "before_shop@i-0123456789abcdef0.sh", "before_shop.sh"


def lines(text: str, name: str = REMOTE) -> list[int]:
    found = rules.of_script(Script(name, f"#!/bin/sh\n{text}\n"))
    return [each.line for each in found if each.code == "secret-over-ssm"]


@pytest.mark.parametrize(
    "text",
    [
        "mysql -psecret -e 'select 1'",
        "export MYSQL_PWD=secret",
        "DB_PASSWORD=hunter22",
        "db_password='hunter22'",
        "cat > x <<END\n[client]\npassword=hunter22\nEND",
        'curl -d \'{"api_key": "abcd1234"}\' https://example.com',
        "TOKEN=abcd1234",
    ],
)
def test_a_secret_in_the_text_of_a_remote_script_is_told(text: str) -> None:
    assert lines(text)
    assert lines(text, "after_shop@all.sh")
    assert not lines(text, LOCAL)


@pytest.mark.parametrize(
    "text",
    [
        "mysql --defaults-extra-file=/etc/n2w/n2w.cnf -e 'select 1'",
        'password="$(cat /etc/n2w/pw)"',
        "PASSWORD=$1",
        "password_file=/etc/n2w/pw",
        "# password=hunter22",
        "token=`cat /etc/n2w/token`",
        "fsfreeze -f /data",
    ],
)
def test_what_reads_its_secret_on_the_instance_is_left_alone(text: str) -> None:
    assert not lines(text)


def test_the_remark_repeats_no_secret() -> None:
    found = rules.of_script(Script(REMOTE, "#!/bin/sh\nDB_PASSWORD=hunter22\n"))
    assert not any("hunter22" in each.text for each in found)
