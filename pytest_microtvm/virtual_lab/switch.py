"""Moves a switch of a virtual lab: `python -m pytest_microtvm.virtual_lab.switch SOCKET BOARD DO`.

The lab file of a virtual lab names it for the power commands of its boards.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_microtvm.errors import MicroTVMError
from pytest_microtvm.virtual_lab.client import BoardSwitches


def main(arguments: list[str]) -> int:
    """Run it.

    Args:
        arguments: The control socket, the board's name, and what to do.
    """
    control, name, action = arguments
    try:
        BoardSwitches(Path(control), name, Path()).command(action)
    except MicroTVMError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
