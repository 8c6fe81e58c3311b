"""However pytest ends, nothing of it stays: no emulator, no bridge, no server, no file."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.plugin.processes import (
    GONE_WITHIN_S,
    START_WITHIN_S,
    descendants,
    wait_for_line,
    wait_until_gone,
)
from tests.plugin.running import MODELS, plugin_command, plugin_environment

BLOCKING_TEST = """
import time
import pytest

@pytest.mark.microtvm_model("sine.tflite")
def test_it(microtvm):
    microtvm.check()
    print("READY", flush=True)
    {then}
"""


@pytest.fixture
def start_pytest(workspace, shared_cache, tmp_path):
    """Start pytest on qemu_x86 with its own TMPDIR; whatever is left at the end is killed."""
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    (tmp_path / "tmp").mkdir()
    token = f"MICROTVM_TEST_TOKEN={os.getpid()}-{tmp_path.name}"
    name, value = token.split("=")
    started = []

    def start(then: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        (workspace / "test_it.py").write_text(BLOCKING_TEST.format(then=then))
        process = subprocess.Popen(
            plugin_command(
                "-s",
                f"--microtvm-cache-dir={shared_cache}",
                "--microtvm-board=qemu_x86",
                *arguments,
            ),
            cwd=workspace,
            env=plugin_environment(**{name: value, "TMPDIR": str(tmp_path / "tmp")}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process, token

    yield start
    for process in started:
        assert process.stdout is not None
        process.stdout.close()
        process.kill()
        process.wait()
    for pid in descendants(token):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def assert_emulator_runs(token: str) -> None:
    commands = " ".join(descendants(token).values())
    assert "qemu-system-i386" in commands
    assert "pytest_microtvm.session.bridge" in commands


def test_nothing_stays_after_a_pass(start_pytest, tmp_path):
    process, token = start_pytest("pass")
    output = wait_for_line(process, "1 passed")
    process.wait(GONE_WITHIN_S)
    wait_until_gone(token)
    assert list((tmp_path / "tmp").iterdir()) == [], output


def test_nothing_stays_after_a_failure(start_pytest, tmp_path):
    process, token = start_pytest("raise AssertionError")
    wait_for_line(process, "1 failed")
    process.wait(GONE_WITHIN_S)
    wait_until_gone(token)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_ctrl_c_closes_everything(start_pytest, tmp_path):
    process, token = start_pytest("time.sleep(600)")
    wait_for_line(process, "READY")
    assert_emulator_runs(token)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole foreground group
    output = wait_for_line(process, "KeyboardInterrupt")
    assert process.wait(GONE_WITHIN_S) == 2, output
    wait_until_gone(token)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_killed_pytest_leaves_nothing(start_pytest, tmp_path, name):
    process, token = start_pytest("time.sleep(600)")
    wait_for_line(process, "READY")
    assert_emulator_runs(token)
    process.send_signal(getattr(signal, name))
    process.wait(GONE_WITHIN_S)
    wait_until_gone(token)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_workers_end_with_the_process_that_started_them(start_pytest, tmp_path):
    process, token = start_pytest(signal_emulator("SIGSTOP"), "-n1")
    end = time.monotonic() + START_WITHIN_S
    while time.monotonic() < end and not any(map(is_stopped, descendants(token))):
        time.sleep(0.05)
    time.sleep(0.5)  # until the worker waits for the emulator, outside of Python
    process.kill()
    wait_until_gone(token)
    assert list((tmp_path / "tmp").glob("microtvm*")) == []


def is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def signal_emulator(name: str) -> str:
    """Python source that signals the emulator of this test."""
    return (
        "import contextlib, os, signal\n"
        "    token = os.environ['MICROTVM_TEST_TOKEN'].encode()\n"
        "    pids = []\n"
        "    for process in filter(str.isdigit, os.listdir('/proc')):\n"
        "        with contextlib.suppress(OSError):  # it may end at any time\n"
        "            if (b'qemu-system-i386' in open(f'/proc/{process}/cmdline', 'rb').read()\n"
        "                    and token in open(f'/proc/{process}/environ', 'rb').read()):\n"
        f"                os.kill(int(process), signal.{name})\n"
        "                pids.append(process)\n"
        "    print('SIGNALLED', pids, flush=True)\n"
        "    microtvm.run()"
    )


def test_ctrl_c_during_a_call_to_the_device_ends_it(start_pytest):
    # The emulator is stopped, so that the call has no answer.
    process, token = start_pytest(signal_emulator("SIGSTOP"))
    assert "[]" not in wait_for_line(process, "SIGNALLED [")
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(GONE_WITHIN_S * 2) == 2
    wait_until_gone(token)


def test_a_dead_emulator_is_an_error_at_once(start_pytest):
    process, token = start_pytest(signal_emulator("SIGKILL"))
    output = wait_for_line(process, "1 error in")
    assert "TransportClosed: qemu_x86" in output
    assert "Traceback" not in output
    process.wait(GONE_WITHIN_S)
    wait_until_gone(token)
