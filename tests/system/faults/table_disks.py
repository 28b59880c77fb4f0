"""What happens to a run whose before freezes the disk of its instance, with home, /tmp and both scripts on it."""

from tests.system.faults import table_instances, table_network
from tests.system.faults.bed import Bed
from tests.system.faults.table import Expected, Fault

KINDS = {"ext4": "over ssh, ext4", "XFS": "over ssh, xfs"}
# Whoever thaws may neither read nor write there.
AGAIN = {
    "SIGKILL of workers, guard, carrier and watchdog": ("before", "call"),
    "SIGKILL of the connection's own sshd": ("call",),
    "SIGKILL of the wrapper on the instance": ("call",),
    "the network is cut for longer than the silence": ("before", "call"),
}


def _freezing(bed: Bed, _: str) -> None:
    bed.scripts(
        before=f"fsfreeze --freeze {bed.mount}",
        after=f"fsfreeze --unfreeze {bed.mount}",
    )


def _moments(fault: Fault) -> dict[str, Expected]:
    return {moment: fault.at[moment] for moment in AGAIN[fault.name]}


FAULTS = tuple(
    Fault(
        f"{fault.name}; {kind} is frozen",
        _moments(fault),
        prepare=_freezing,
        strike=fault.strike,
        recover=fault.recover,
        promised=fault.promised,
        ends_before=fault.ends_before,
        bed=bed,
        is_quick=False,
    )
    for kind, bed in KINDS.items()
    for fault in (*table_instances.FAULTS, *table_network.FAULTS)
    if fault.name in AGAIN
)
