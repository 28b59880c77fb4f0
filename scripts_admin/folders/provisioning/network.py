"""Scripts do not reach the metadata service: whoever does has the server's role in AWS.

A table of its own in nftables, which holds the uids of all accounts that scripts run as.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from scripts_admin.domain.places import Places
from scripts_admin.folders.provisioning import commands
from scripts_admin.folders.provisioning.commands import Command, Step, file_step

# The metadata service of instances, and where containers of ECS and EKS get their role.
ADDRESSES = (
    ("ip", ("169.254.169.254", "169.254.170.2", "169.254.170.23")),
    ("ip6", ("fd00:ec2::254", "fd00:ec2::23")),
)
_SET = "accounts"
NO_NFT = (
    "nft is not installed, so scripts can reach the metadata service and get the server's role: install the package "
    "nftables, and run this again."
)


def steps(places: Places, uids: Sequence[int]) -> list[Step]:
    """Return the steps for these accounts; nothing where nft is missing, which `problem` says."""
    nft = commands.program("nft")
    if nft is None:
        return []
    load = Command((nft, "-f", places.rules))
    check = Command((nft, "-c", "-f", places.rules))
    file = file_step(
        "the rules against the metadata service", places.rules, rules(places, uids), check
    )
    kernel = Step("the rules in the kernel", lambda: in_kernel(places, uids), (load,))
    return [file, kernel, *_at_boot(places, nft)]


def _at_boot(places: Places, nft: str) -> list[Step]:
    reload = (Command(("systemctl", "daemon-reload")),) if commands.systemd_runs() else ()
    unit = file_step("the unit of the rules", places.unit, _unit(places, nft), *reload)
    folder = os.path.dirname(places.unit_link)  # noqa: PTH120 - a str of places
    link = Step(
        "the unit starts at boot",
        lambda: os.path.islink(places.unit_link),  # noqa: PTH114 - a str of places
        (
            Command(("mkdir", "--parents", folder)),
            Command(("ln", "--symbolic", "--force", places.unit, places.unit_link)),
            *reload,
        ),
    )
    started = Step(
        "the unit is started",
        _is_active,
        (Command(("systemctl", "start", "n2w-firewall.service")),),
    )
    return [unit, link, started] if commands.systemd_runs() and not places.prefix else [unit, link]


def _is_active() -> bool:
    return commands.answer("systemctl", "is-active", "n2w-firewall.service") is not None


def rules(places: Places, uids: Sequence[int]) -> str:
    """Return what `nft -f` reads; loading it again replaces the table in one step."""
    table = f"table inet {places.table}"
    elements = f"\n        elements = {{ {', '.join(map(str, sorted(uids)))} }}" if uids else ""
    refused = "\n".join(
        f"        meta skuid @{_SET} {family} daddr {{ {', '.join(found)} }} reject"
        for family, found in ADDRESSES
    )
    return f"""\
# Written by provision_user: the accounts that scripts run as do not reach the metadata service.
{table}
delete {table}
{table} {{
    set {_SET} {{
        typeof meta skuid{elements}
    }}
    chain output {{
        type filter hook output priority 0; policy accept;
{refused}
    }}
}}
"""


def in_kernel(places: Places, uids: Sequence[int]) -> bool:
    """Tell whether the kernel has the rules for exactly these accounts. Only root can see them."""
    found = commands.answer(
        commands.program("nft") or "nft", "--json", "list", "table", "inet", places.table
    )
    try:
        listed = json.loads(found or "")["nftables"]
    except (ValueError, KeyError):
        return False
    held = [element for each in listed for element in each.get("set", {}).get("elem", [])]
    refusing = [each["rule"] for each in listed if "rule" in each]
    wanted = {address for _, found in ADDRESSES for address in found}
    return sorted(held) == sorted(uids) and wanted <= set().union(*map(_refused, refusing), set())


def _refused(rule: dict[str, Any]) -> set[str]:
    """Return the addresses that this rule refuses."""
    if not any("reject" in each for each in rule["expr"]):
        return set()
    found = set[str]()
    for each in rule["expr"]:
        with suppress(KeyError, TypeError):
            if each["match"]["left"]["payload"]["field"] == "daddr":
                right = each["match"]["right"]
                found.update(right["set"] if isinstance(right, dict) else [right])
    return found


def _unit(places: Places, nft: str) -> str:
    return f"""\
# Written by provision_user.
[Unit]
Description=Scripts of n2wbackup do not reach the metadata service
# nftables.service empties all tables when it starts or reloads, ours as well.
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
Wants=network-pre.target
Before=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} -f {places.rules}
ExecReload={nft} -f {places.rules}

[Install]
WantedBy=multi-user.target
"""
