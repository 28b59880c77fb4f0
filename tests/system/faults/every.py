"""The whole table, and the beds that its faults need."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from tests.system.faults import (
    beds,
    beds_of_disks,
    table_aws,
    table_cleaning,
    table_clocks,
    table_copies,
    table_disks,
    table_instances,
    table_launcher,
    table_network,
    table_processes,
    table_proofs,
    table_recoveries,
    table_scripts,
    table_ssm,
    table_stores,
    table_there,
    ten,
)
from tests.system.faults.bed import Bed
from tests.system.faults.table import Fault

SUBJECTS: Mapping[str, tuple[Fault, ...]] = {
    "Processes": table_processes.FAULTS,
    "Processes, with scripts of other accounts": table_launcher.FAULTS,
    "Processes, with scripts on an instance over SSH": table_instances.FAULTS,
    "The network, with scripts on an instance over SSH": table_network.FAULTS,
    "The disk of an instance, frozen by before": table_disks.FAULTS,
    "Scripts on an instance": (*table_there.FAULTS, *ten.FAULTS),
    "Processes and commands, with scripts on an instance over SSM": table_ssm.FAULTS,
    "Scripts": table_scripts.FAULTS,
    "Broker, database and disk": table_stores.FAULTS,
    "AWS": table_aws.FAULTS,
    "Old restore points that are deleted": table_cleaning.FAULTS,
    "Recoveries: processes": table_recoveries.PROCESSES,
    "Recoveries: AWS": table_recoveries.AWS,
    "Recoveries: what they need": table_recoveries.NEEDS,
    "Recoveries from copies": table_copies.FAULTS,
    "Proofs: processes": table_proofs.PROCESSES,
    "Proofs: AWS and the disk": table_proofs.OTHERS,
    "Clocks, and two of a kind": table_clocks.FAULTS,
}
FAULTS: tuple[Fault, ...] = tuple(fault for faults in SUBJECTS.values() for fault in faults)
BEDS: Mapping[str, Callable[[], AbstractContextManager[Bed]]] = {
    "plain": beds.plain,
    "restore point": beds.with_a_restore_point,
    "copies": beds.with_copies,
    "disk": beds_of_disks.with_a_disk,
    "disk, little room": beds_of_disks.with_a_disk_and_little_room,
    "postgresql": beds.on_postgresql,
    "broker": beds.with_broker,
    "doubled messages": beds.with_doubled_messages,
    "role": beds.with_a_role,
    "over ssh": beds.over_ssh,
    "over ssh, postgresql": beds.over_ssh_on_postgresql,
    "over ssh, ext4": beds.over_ssh_on_ext4,
    "over ssh, xfs": beds.over_ssh_on_xfs,
    "over ssm": beds.over_ssm,
    "ten over ssh": ten.over_ssh,
    "small disk": beds.on_a_small_disk,
    "launcher": beds.by_the_launcher,
    "clock": beds.with_a_false_clock,
}
