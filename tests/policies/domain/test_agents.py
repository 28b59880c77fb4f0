"""What an instance lacks for scripts over SSM."""

import shlex
import subprocess
from dataclasses import replace

import pytest

from policies.domain import agents
from policies.domain.agents import Facts

READY = Facts(
    "i-0123456789abcdef0",
    "us-east-1",
    state="running",
    ping="Online",
    platform_type="Linux",
    agent_version="3.3.1611.0",
    has_profile=True,
    role="app",
    policies=(agents.CORE,),
)


def whats(facts: Facts) -> list[str]:
    return [each.what for each in agents.lacks(facts)]


def test_an_instance_whose_agent_is_online_lacks_nothing_whatever_its_role_is() -> None:
    assert whats(READY) == []
    assert whats(replace(READY, policies=("Custom",))) == []
    assert whats(replace(READY, has_profile=False, role="")) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"state": "stopped"}, "It is stopped."),
        ({"platform_type": "Windows"}, "Its platform is Windows."),
        ({"agent_version": "3.3.39.0"}, "Its agent is 3.3.39.0, older than 3.3.40."),
        ({"agent_version": ""}, "Its agent is of an unknown version, older than 3.3.40."),
        (
            {"freezes": [("before_x@all.sh", "/var")]},
            "before_x@all.sh freezes /var, where its agent keeps its files.",
        ),
        ({"ping": "ConnectionLost"}, "SSM has lost the connection to its agent."),
        ({"ping": ""}, "Its SSM agent has never registered."),
        ({"ping": "", "policies": ()}, f"Its role app lacks {agents.CORE}."),
        ({"ping": "", "has_profile": False, "role": ""}, "It has no role."),
    ],
)
def test_what_is_missing_is_told_with_what_to_do(changes: dict[str, object], what: str) -> None:
    found = agents.lacks(replace(READY, **changes))  # type: ignore[arg-type]
    assert what in [each.what for each in found]
    assert all(each.cure for each in found)


def test_a_script_that_freezes_another_file_system_than_the_agents_is_fine() -> None:
    folders = [("/var/lib/amazon/ssm", "/"), ("/var/log/amazon/ssm", "/var/log")]
    seen = replace(READY, folders=folders, freezes=[("before_x@all.sh", "/var")])
    assert whats(seen) == []
    assert whats(replace(seen, freezes=[("before_x@all.sh", "/data")], folders=())) == []
    assert whats(replace(seen, freezes=[("before_x@all.sh", "/var/log")])) != []


def test_a_role_that_iam_does_not_tell_of_is_not_called_missing() -> None:
    found = whats(replace(READY, ping="", role="", policies=(), role_problem="not permitted"))
    assert found == ["Its SSM agent has never registered."]


def test_the_commands_name_the_instance_and_quote_what_aws_says() -> None:
    bare = replace(READY, ping="", has_profile=False)
    (role, _) = agents.lacks(bare)
    assert READY.instance_id in role.commands[-1]
    for command in role.commands:
        assert shlex.split(command)[0] == "aws"
    evil = replace(READY, ping="", role="a; rm -rf /", policies=())
    (command,) = agents.lacks(evil)[0].commands
    assert "a; rm -rf /" in shlex.split(command)


def test_the_probe_tells_the_mount_points_of_the_agents_folders() -> None:
    done = subprocess.run(["sh", "-c", agents.PROBE], capture_output=True, text=True, check=True)
    found = agents.folders(done.stdout)
    assert [folder for folder, _ in found][:2] == ["/var/lib/amazon/ssm", "/var/log/amazon/ssm"]
    assert all(mount.startswith("/") for _, mount in found)
    assert agents.mounts([("/a", "/"), ("/b", "/var"), ("/c", "/")]) == ["/", "/var"]


def test_what_else_an_instance_prints_is_left_out() -> None:
    printed = "motd\nn2w /var/lib/amazon/ssm /\nn2w nowhere\nn2w /x\nn2w /mnt/a /with a space\n"
    assert agents.folders(printed) == [
        ("/var/lib/amazon/ssm", "/"),
        ("/mnt/a", "/with a space"),
    ]
