"""The command where its standard streams are closed, full or no longer read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.plugin.running import plugin_environment

TIMEOUT_S = 60.0


def run_in_shell(redirections: str, *arguments: str) -> tuple[int, str]:
    """Run the command behind redirections of a shell; its status, and what is left to read."""
    command = [sys.executable, "-m", "pytest_microtvm.command", *arguments]
    script = f'"$@" {redirections}\necho "status $?" >&9'
    result = subprocess.run(
        ["/bin/bash", "-c", f"exec 9>&1\n{{ {script}\n}} 2>&1", "sh", *command],
        env=plugin_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
    )
    *lines, status = result.stdout.splitlines()
    return int(status.removeprefix("status ")), "\n".join(lines)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_are_no_trouble(closed: str) -> None:
    status, output = run_in_shell(closed, "boards")
    assert status == 0
    assert ("qemu_x86" in output) == ("1>" not in closed)
    # A wrong command line has a line to print.
    assert run_in_shell(closed, "compile")[0] == 2


def test_output_that_cannot_be_written_is_one_line() -> None:
    status, output = run_in_shell("> /dev/full", "boards")
    assert (status, output) == (
        1,
        "microtvm: cannot write what there is to show: No space left on device",
    )


def test_output_that_nobody_reads_is_no_trouble() -> None:
    status, output = run_in_shell("> >(exec true)", "boards")
    assert (status, output) in ((0, ""), (1, ""))
