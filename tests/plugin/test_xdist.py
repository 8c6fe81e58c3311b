"""pytest-xdist: every way of handing out tests, progress, and workers that are killed."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.plugin.processes import (
    GONE_WITHIN_S,
    START_WITHIN_S,
    descendants,
    parent_of,
    wait_for_line,
    wait_until_gone,
)
from tests.plugin.running import MODELS, plugin_command, plugin_environment

DIST_MODES = ("load", "loadscope", "loadfile", "loadgroup", "worksteal", "each")
WORKERS = 2
KILLED = r"MicroTVMError: the worker 'gw\d' of pytest-xdist crashed or was killed while it ran "

TWO_TESTS = """
import pytest

@pytest.mark.microtvm_model("{model}")
@pytest.mark.parametrize("run", range(2))
def test_it(microtvm, run):
    microtvm.check()
"""

FATAL_TEST = """
import os, signal
import pytest

@pytest.mark.microtvm_model("sine.tflite")
@pytest.mark.parametrize("number", range(6))
def test_it(microtvm, number):
    microtvm.check()
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""

STEP = re.compile(
    r"^microtvm: \[(gw\d+)\] (?!.*\(\d+ s\)$)((?:compiling|building|running) .*)$", re.MULTILINE
)


@pytest.fixture
def sine(workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")


@pytest.mark.parametrize("mode", DIST_MODES)
def test_every_way_of_handing_out_tests(run_pytest, workspace, sine, mode):
    (workspace / "test_one.py").write_text(TWO_TESTS.format(model="sine.tflite"))
    (workspace / "test_two.py").write_text(TWO_TESTS.format(model="sine.tflite"))
    outcome = run_pytest(
        f"-n{WORKERS}", "--dist", mode, ".", "--microtvm-board=host,qemu_x86", status=0
    )
    tests = 2 * (1 + 2 + 2) * (WORKERS if mode == "each" else 1)
    assert f"{tests} passed" in outcome.summary
    assert {record["board"]: record["outcome"] for record in outcome.records} == {
        "host": "passed",
        "qemu_x86": "passed",
    }
    assert len(outcome.records) == 2
    # Every comparison is counted once, whichever worker made it: the model has one output element.
    assert sum(record["elements"] for record in outcome.records) == tests


def test_workers_tell_what_they_do_and_do_nothing_twice(run_pytest, tmp_path):
    outcome = run_pytest(
        f"-n{WORKERS}",
        *(MODELS / "sine_int8.tflite", MODELS / "sine_float32.tflite"),
        "--microtvm-board=host,qemu_x86",
        "--microtvm-executor=aot,graph",
        "--microtvm-no-cache",
        cache=None,
        env={"TMPDIR": str(tmp_path)},
        status=0,
    )
    steps = Counter(what for _worker, what in STEP.findall(outcome.output))
    assert steps == {
        **{f"compiling models/sine_{dtype}.tflite": 1 for dtype in ("int8", "float32")},
        **{f"running the reference of models/sine_{dtype}": 1 for dtype in ("int8", "float32")},
        **{
            f"building models/sine_{dtype} for {board} ({executor})": 1
            for dtype in ("int8", "float32")
            for board in ("host", "qemu_x86")
            for executor in ("aot", "graph")
        },
    }
    assert outcome.lines("waiting for another process to ")
    assert all(line.startswith("microtvm: [gw") for line in outcome.lines("microtvm: "))
    assert list(tmp_path.glob("microtvm-*")) == []


def test_a_quiet_run_shows_no_progress(run_pytest, sine):
    outcome = run_pytest("-q", "-n1", "sine.tflite", "--microtvm-board=host", status=0)
    assert not outcome.lines("microtvm: ")


class Started:
    """A pytest run with workers and a TMPDIR of its own."""

    def __init__(self, workspace: Path, tmp_path: Path) -> None:
        self.temporary = tmp_path / "tmp"
        self.temporary.mkdir()
        self.cache = Path()
        self.workspace = workspace
        self._name, self._value = "MICROTVM_TEST_TOKEN", f"{os.getpid()}-{tmp_path.name}"
        self.token = f"{self._name}={self._value}"
        self.process: subprocess.Popen[str] | None = None

    def start(self, cache: Path, *arguments: str | Path) -> subprocess.Popen[str]:
        self.cache = cache
        self.process = subprocess.Popen(
            plugin_command(
                f"-n{WORKERS}",
                f"--microtvm-cache-dir={self.cache}",
                f"--microtvm-json={self.workspace / 'records.json'}",
                *arguments,
            ),
            cwd=self.workspace,
            env=plugin_environment(**{self._name: self._value, "TMPDIR": str(self.temporary)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self.process

    def assert_nothing_is_left(self) -> None:
        wait_until_gone(self.token)
        # xdist has pytest make a folder for the workers' tmp_path; it stays, with or without us.
        left = [path for path in self.temporary.iterdir() if "pytest-of-" not in path.name]
        assert left == []
        assert list((self.cache / "tmp").iterdir()) == []

    def close(self) -> None:
        if self.process is not None:
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process.kill()
            self.process.wait()
        for pid in descendants(self.token):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def started(workspace, tmp_path):
    started = Started(workspace, tmp_path)
    yield started
    started.close()


def test_a_worker_killed_with_a_device_open_leaves_nothing(started, warm_cache, workspace, sine):
    cache, _ = warm_cache("sine.tflite", "--microtvm-board=qemu_x86")
    (workspace / "records.json").unlink()
    (workspace / "test_it.py").write_text(FATAL_TEST)
    process = started.start(
        cache, "test_it.py", "--microtvm-board=qemu_x86", "--max-worker-restart=1"
    )
    output = wait_for_line(process, "5 passed, 1 error")
    process.wait(GONE_WITHIN_S)
    assert re.search(KILLED + r"test_it.py::test_it\[.*3\], so there is no verdict; look", output)
    started.assert_nothing_is_left()
    # What the killed worker had found out until then is not lost.
    (record,) = json.loads((workspace / "records.json").read_text())["records"]
    assert record["outcome"] == "error"
    assert re.match(r"the worker 'gw\d' of pytest-xdist crashed or was killed", record["error"])
    assert record["elements"] >= 5
    assert "sine.tflite" in output.partition("= microtvm =")[2]


def test_a_worker_killed_while_it_builds_leaves_nothing(started, warm_cache):
    arguments = (MODELS / "sine_int8.tflite", MODELS / "motion_float32.tflite")
    cache, _ = warm_cache(*arguments, "--microtvm-board=host,qemu_x86")
    shutil.rmtree(cache / "firmware")
    process = started.start(cache, *arguments, "--microtvm-board=host,qemu_x86")
    output = wait_for_line(process, "] building ")
    worker = STEP.findall(output)[-1][0]
    victim = worker_pid(started.token, worker)
    os.kill(victim, signal.SIGKILL)
    output += wait_for_line(process, "3 passed, 1 error")
    process.wait(GONE_WITHIN_S)
    (killed,) = re.findall(KILLED + r"(\S*)::", output)
    started.assert_nothing_is_left()
    # It had told nothing of that test, and it is in the records all the same.
    records = json.loads((started.workspace / "records.json").read_text())["records"]
    assert Counter(record["outcome"] for record in records) == {"passed": 3, "error": 1}
    (lost,) = [record for record in records if record["outcome"] == "error"]
    assert Path(lost["model"]).name == Path(killed).name


def worker_pid(token: str, worker: str) -> int:
    """The process of a worker: the parent of those that got its name from it."""
    end = time.monotonic() + START_WITHIN_S
    while time.monotonic() < end:
        for pid in descendants(token):
            with contextlib.suppress(OSError):  # it may end at any time
                if f"PYTEST_XDIST_WORKER={worker}".encode() in environment_of(pid):
                    while b"PYTEST_XDIST_WORKER" in b"".join(environment_of(pid)):
                        pid = parent_of(pid)
                    return pid
    raise AssertionError(f"no process of {worker}")


def environment_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
