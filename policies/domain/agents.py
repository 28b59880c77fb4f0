"""What an instance lacks for scripts over SSM, and how to add it. Pure."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

ONLINE, LINUX, RUNNING = "Online", "Linux", "running"
# Where an agent keeps its files on one of these, as long as nobody has looked.
_USUAL = ("/", "/var", "/var/lib", "/var/log", "/var/lib/amazon", "/var/log/amazon")
CORE = "AmazonSSMManagedInstanceCore"
# Older agents get commands in another way, which deploy/iam/instance.json does not allow.
LEAST_VERSION = (3, 3, 40)
_NUMBER = re.compile(r"\d{1,6}")
_POLICY_ARN = f"arn:aws:iam::aws:policy/{CORE}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one instance; `ping` is empty if no agent has ever registered."""

    instance_id: str
    region: str
    state: str = ""
    ping: str = ""
    pinged_at: datetime | None = None
    platform_type: str = ""
    agent_version: str = ""
    has_profile: bool = False
    role: str = ""
    policies: Sequence[str] = ()
    role_problem: str = ""
    folders: Sequence[tuple[str, str]] = ()  # where the agent keeps its files: folder, mount point
    freezes: Sequence[tuple[str, str]] = ()  # by scripts that are carried there: file, mount point


@dataclass(frozen=True, slots=True)
class Lack:
    """What is missing, what to do, and the commands that do it."""

    what: str
    cure: str
    commands: tuple[str, ...] = ()


def lacks(facts: Facts) -> list[Lack]:
    """Return what keeps scripts from reaching the instance over SSM; nothing if they can."""
    found = []
    if facts.state and facts.state != RUNNING:
        found.append(Lack(f"It is {facts.state}.", "Start it: nothing reaches it until then."))
    if facts.ping == ONLINE:
        found += _of_agent(facts)
        return found
    found += _role(facts)
    if not facts.ping:
        cure = (
            "Install the SSM agent where the image has none (Amazon Linux and Ubuntu bring it), and let the instance "
            "reach AWS's endpoints ssm and ssmmessages on port 443, or give its VPC endpoints of its own for them."
        )
        found.append(Lack("Its SSM agent has never registered.", cure))
    elif not found:
        cure = (
            "On the instance, look at the agent and its log, and whether the endpoints ssm and ssmmessages can be "
            "reached on port 443."
        )
        look = (
            "systemctl status amazon-ssm-agent",
            "tail /var/log/amazon/ssm/amazon-ssm-agent.log",
        )
        found.append(Lack("SSM has lost the connection to its agent.", cure, look))
    return found


def _of_agent(facts: Facts) -> list[Lack]:
    found = list(_stopped(facts))
    if facts.platform_type != LINUX:
        cure = "Scripts on instances run under Linux only: use a local script."
        found.append(Lack(f"Its platform is {facts.platform_type or 'unknown'}.", cure))
    if version(facts.agent_version) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        command = (
            "aws ssm send-command --document-name AWS-UpdateSSMAgent "
            f"--region {shlex.quote(facts.region)} --instance-ids {shlex.quote(facts.instance_id)}"
        )
        what = f"Its agent is {facts.agent_version or 'of an unknown version'}, older than {least}."
        found.append(Lack(what, "Update the agent.", (command,)))
    return found


def _stopped(facts: Facts) -> Iterator[Lack]:
    return stopped(facts.folders, facts.freezes)


def stopped(
    folders: Sequence[tuple[str, str]], freezes: Sequence[tuple[str, str]]
) -> Iterator[Lack]:
    """Yield each script that freezes what the agent writes to: no command could start the thaw.

    `folders`: where the agent keeps its files, as far as somebody has looked.
    """
    needed = mounts(folders) if folders else _USUAL
    for file, path in freezes:
        if path in needed:
            cure = (
                "SSM could not start the thaw, and the application would stay frozen until the instance thaws itself: "
                "move the data to a file system of its own and freeze that, or use SSH."
            )
            yield Lack(f"{file} freezes {path}, where its agent keeps its files.", cure)


def _role(facts: Facts) -> list[Lack]:
    where = f"--region {shlex.quote(facts.region)} --instance-id {shlex.quote(facts.instance_id)}"
    if not facts.has_profile:
        cure = (
            f"Create a role for EC2 with AWS's policy {CORE}, and attach it as the instance's profile. "
            "The agent sees it within half an hour, or when it is restarted."
        )
        attach = f"aws ec2 associate-iam-instance-profile {where} --iam-instance-profile Name=n2wbackup-instance"
        return [Lack("It has no role.", cure, (*_NEW_ROLE, attach))]
    if facts.role_problem or not facts.role:
        return []
    if CORE in facts.policies:
        return []
    cure = (
        f"Attach AWS's policy {CORE} to the role, or the narrower instance.json, unless another policy of "
        "the role allows the same."
    )
    attach = f"aws iam attach-role-policy --role-name {shlex.quote(facts.role)} --policy-arn {_POLICY_ARN}"
    return [Lack(f"Its role {facts.role} lacks {CORE}.", cure, (attach,))]


_TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", '
    '"Principal": {"Service": "ec2.amazonaws.com"}}]}'
)
_SAME_NAMES = "--instance-profile-name n2wbackup-instance --role-name n2wbackup-instance"
_NEW_ROLE = (
    f"aws iam create-role --role-name n2wbackup-instance --assume-role-policy-document '{_TRUST}'",
    f"aws iam attach-role-policy --role-name n2wbackup-instance --policy-arn {_POLICY_ARN}",
    "aws iam create-instance-profile --instance-profile-name n2wbackup-instance",
    f"aws iam add-role-to-instance-profile {_SAME_NAMES}",
)


def mounts(folders: Sequence[tuple[str, str]]) -> list[str]:
    """Return the mount points that hold the agent's files: where one is frozen, nothing can be thawed over SSM."""
    return list(dict.fromkeys(mount for _, mount in folders))


def version(text: str) -> tuple[int, ...]:
    """Return the numbers of a version; none for a text without any."""
    return tuple(int(part) for part in _NUMBER.findall(text)[:4])


# Prints where the agent keeps its files, a line each, with the mount point: "n2w <folder> <mount point>".
PROBE = """\
for folder in /var/lib/amazon/ssm /var/log/amazon/ssm /var/snap/amazon-ssm-agent; do
    case $folder in */snap/*) [ -e "$folder" ] || continue ;; esac
    there=$folder
    while [ ! -e "${there:-/}" ]; do there=${there%/*}; done
    printf 'n2w %s %s\\n' "$folder" "$(df -P "${there:-/}" | tail -n 1 | sed 's/.*% //')"
done
"""


def folders(printed: str) -> list[tuple[str, str]]:
    """Return what PROBE has printed, as (folder, mount point)."""
    found = []
    for line in printed.splitlines()[:20]:
        word, _, rest = line.partition(" ")
        folder, _, mount = rest.partition(" ")
        if word == "n2w" and folder.startswith("/") and mount.startswith("/"):
            found.append((folder[:200], mount[:200]))
    return found
