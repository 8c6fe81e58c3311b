"""What a board's definition may call its processor: boards are selected by these names.

Models of cores and tuning logs are found by them, too, so that one that is spelt otherwise would
be taken for a processor of which nothing is known.
"""

from __future__ import annotations

import re
from pathlib import Path

from pytest_microtvm.errors import ConfigError

_FLOAT_ABIS = {
    "arm": ("soft", "softfp", "hard"),
    "riscv32": ("ilp32", "ilp32e", "ilp32f", "ilp32d"),
    "riscv64": ("lp64", "lp64f", "lp64d"),
}
"""By architecture; of others nothing is known."""
_CORTEX = re.compile(
    r"cortex-(m(0|0plus|1|3|4|7|23|33|35p|52|55|85)|r(4|4f|5|7|8|52|52plus|82)|a\d+\w*)\Z"
)


def check_processor(path: Path, arch: str, core: str, float_abi: str) -> None:
    """Check the names of a processor.

    Args:
        path: The definition, for messages.
        arch: `cpu.arch`.
        core: `cpu.core`; any but those that begin as the names of Arm's Cortex do.
        float_abi: `cpu.float_abi`.

    Raises:
        ConfigError: A name is not known.
    """
    if core.lower().startswith("cortex") and not _CORTEX.match(core):
        raise ConfigError(
            f"{path}: cpu.core is {core!r}, which is no core of Arm's",
            cure="name it as GCC's -mcpu does, as in cortex-m4 or cortex-m0plus",
        )
    known = _FLOAT_ABIS.get(arch, ())
    if float_abi and known and float_abi not in known:
        raise ConfigError(
            f"{path}: cpu.float_abi is {float_abi!r}; on {arch} it must be one of "
            f"{', '.join(known)}",
            cure="name it as the compiler's -mfloat-abi or -mabi does",
        )
