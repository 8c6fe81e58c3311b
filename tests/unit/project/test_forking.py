"""Which servers are forks of the process that uses them, and that they are like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pytest_microtvm.project import platform_directory

# In a process without threads, as a bridge is.
SCRIPT = """
import os, sys
from pathlib import Path
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import MicroTVMError
from pytest_microtvm.project.client import ProjectAPIClient

outsider = os.open(os.devnull, os.O_RDONLY)
with ProjectAPIClient(Path(sys.argv[1]), Deadline(20), fork=True) as client:
    pid = client._process.pid
    print(type(client._process._process).__name__, client.info.platform_name)
    print(os.getsid(pid) == pid, os.readlink(f"/proc/{pid}/cwd") == sys.argv[1])
    print(os.path.exists(f"/proc/{pid}/fd/{outsider}"))
    try:
        client.flash({}, Deadline(20))
    except MicroTVMError as error:
        print(error.message.endswith("is a template") or error.message)
print(client._process.is_open, os.path.exists(f"/proc/{pid}"))
"""


def run(directory: Path) -> list[str]:
    command = [sys.executable, "-c", SCRIPT, str(directory)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_server_of_our_own_is_a_fork() -> None:
    kind, leads_session, has_outsiders_file, answer, end = run(platform_directory("baremetal"))
    assert kind == "OwnFork baremetal"
    assert leads_session == "True True"
    assert has_outsiders_file == "False"
    assert answer
    assert end == "False False"


def test_a_server_that_was_changed_is_not(tmp_path: Path) -> None:
    text = (platform_directory("baremetal") / "microtvm_api_server.py").read_text()
    (tmp_path / "microtvm_api_server.py").write_text(text + "# mine\n")
    assert run(tmp_path)[0] == "Popen baremetal"


def test_how_a_fork_ended_is_told() -> None:
    script = (
        SCRIPT.split("outsider =")[0]
        + """
import signal
client = ProjectAPIClient(Path(sys.argv[1]), Deadline(20), fork=True)
client.open()
os.kill(client._process.pid, signal.SIGKILL)
try:
    client.flash({}, Deadline(20))
except MicroTVMError as error:
    print(error.message)
client.close()
"""
    )
    command = [sys.executable, "-c", script, str(platform_directory("baremetal"))]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.stdout == "the server of platform baremetal was ended by SIGKILL\n", result.stderr
