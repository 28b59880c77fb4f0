"""Which binaries a machine runs: the class, byte order and machine number of ELF files."""

from collections.abc import Mapping

from scripts_admin.domain.first_bytes import Elf

_OWN: Mapping[str, tuple[int, bool, int]] = {
    "x86_64": (64, True, 62),
    "aarch64": (64, True, 183),
    "ppc64le": (64, True, 21),
    "riscv64": (64, True, 243),
    "s390x": (64, False, 22),
    "i686": (32, True, 3),
    "armv7l": (32, True, 40),
}
# A kernel of 64 bits may run these too; whether it does is asked of the kernel.
_SMALLER: Mapping[str, tuple[tuple[int, bool, int], ...]] = {
    "x86_64": ((32, True, 3), (32, True, 6)),
    "aarch64": ((32, True, 40),),
}
_NAMES: Mapping[int, str] = {
    3: "i386",
    6: "i386",
    8: "MIPS",
    20: "PowerPC",
    21: "PowerPC",
    22: "s390",
    40: "ARM",
    62: "x86_64",
    183: "aarch64",
    243: "RISC-V",
    258: "LoongArch",
}


def runs(binary: Elf, machine: str, *, runs_smaller: bool) -> bool:
    """Tell whether `machine` (as uname says it) runs the binary; an unknown machine gets the benefit of the doubt."""
    own = _OWN.get(machine)
    found = (binary.bits, binary.is_little, binary.machine)
    return own is None or found == own or (runs_smaller and found in _SMALLER.get(machine, ()))


def name(binary: Elf) -> str:
    """Return the machine that the binary was made for."""
    made_for = _NAMES.get(binary.machine, f"machine number {binary.machine}")
    return f"{made_for}, {binary.bits} bits"
