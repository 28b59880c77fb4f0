"""The whole table, and the beds that its faults need."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.system.faults import beds, table_processes
from tests.system.faults.bed import Bed
from tests.system.faults.table import Fault

FAULTS: tuple[Fault, ...] = (*table_processes.FAULTS,)
BEDS: dict[str, Callable[[], AbstractContextManager[Bed]]] = {
    "plain": beds.plain,
    "postgresql": beds.on_postgresql,
}
