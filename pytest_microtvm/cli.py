"""The `microtvm` command: a name reserved for what is to come."""

from __future__ import annotations

import sys


def main() -> int:
    """Say what there is instead."""
    print(
        "microtvm: no subcommands yet; run models with pytest, for example:\n"
        "  pytest --microtvm-board=qemu_x86 model.tflite",
        file=sys.stderr,
    )
    return 2
