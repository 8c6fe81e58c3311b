"""`python -m pytest_microtvm.command`: the `microtvm` command."""

from __future__ import annotations

import sys

from pytest_microtvm.command.main import main

if __name__ == "__main__":
    sys.exit(main())
