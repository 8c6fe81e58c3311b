"""Programs as forks: what they are given, how they end, and what is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.deadline import Deadline
from pytest_microtvm.forks import Fork, ForkError, Forks, OwnFork, Program
from pytest_microtvm.process import package_environment
from tests.patience import PATIENCE_S, await_end, is_running, wait_until

SLEEP = "import time\ntime.sleep(60)\n"


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


@pytest.fixture
def run(forks: Forks, tmp_path: Path) -> Callable[..., Fork]:
    """Start a script as a fork of the module's server."""

    def start(script: str, *arguments: str, output: int = 2, **named: Any) -> Fork:
        program = named.pop("program", None) or script_program(tmp_path, script)
        deadline = Deadline(PATIENCE_S)
        return forks.start(program, arguments, (0, output, 2), deadline=deadline, **named)

    return start


def script_program(folder: Path, script: str, **named: Any) -> Program:
    path = folder / "program.py"
    path.write_text(script)
    return Program(str(path), **named)


def test_a_fork_is_a_program_of_its_own(run: Callable[..., Fork], tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "print(os.getsid(0) == os.getpgid(0) == os.getpid(), os.getcwd(), sys.argv[1:])\n"
        "names = [name for name in os.listdir('/proc/self/fd') if int(name) > 2]\n"
        "files = [name for name in names if os.path.exists(f'/proc/self/fd/{name}')]\n"
        "print(__name__, os.environ['PLACE'], files)\n"
        "os.write(int(sys.argv[1]), b'here')\n"
    )
    outsider, passed = os.open(os.devnull, os.O_RDONLY), os.dup(2)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as extra:
        os.dup2(extra.fileno(), passed)
        environment = {**package_environment(), "PLACE": "inside"}
        fork = run(
            script,
            str(passed),
            output=output.fileno(),
            pass_fds=[passed],
            folder=tmp_path,
            environment=environment,
        )
        assert fork.wait(PATIENCE_S) == 0
        fork.end()
        output.seek(0)
        extra.seek(0)
        assert output.read().decode().splitlines() == [
            f"True {tmp_path} ['{passed}']",
            f"__main__ inside ['{passed}']",
        ]
        assert extra.read() == b"here"
    os.close(outsider)
    os.close(passed)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('no')", 1),
        ("1 / 0", 1),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGABRT)", -signal.SIGABRT),
    ],
)
def test_how_a_fork_ended_is_told(run: Callable[..., Fork], script: str, status: int) -> None:
    fork = run(script)
    assert fork.wait(PATIENCE_S) == fork.poll() == status
    fork.end()
    assert not Path(f"/proc/{fork.pid}").exists()


def test_a_fork_that_goes_on_is_waited_for_no_longer_than_told(run: Callable[..., Fork]) -> None:
    fork = run(SLEEP)
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.01)
    assert fork.poll() is None
    fork.end()
    assert fork.poll() == -signal.SIGKILL
    fork.end()


def test_the_end_of_a_fork_is_the_end_of_all_it_started(
    run: Callable[..., Fork], tmp_path: Path
) -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "open(sys.argv[1], 'w').write(f'{child.pid}\\n')\n"
        "child.wait()\n"
    )
    note = tmp_path / "pid"
    fork = run(script, str(note))
    while not note.exists() or not note.read_text().endswith("\n"):
        time.sleep(0.01)
    fork.end()
    await_end(int(note.read_text()))


def test_modules_that_one_fork_needed_are_there_for_the_next(
    forks: Forks, run: Callable[..., Fork], tmp_path: Path
) -> None:
    script = "import sys\nraise SystemExit(7 if 'wave' in sys.modules else 5)\n"
    statuses = []
    for preload in ((), ("wave", "no_such_module")):
        program = script_program(tmp_path, script, preload=preload)
        fork = run("", program=program)
        statuses.append(fork.wait(PATIENCE_S))
        fork.end()
    assert statuses == [5, 7]
    assert len(forks._servers) == 1


def test_a_module_is_run_as_a_program(run: Callable[..., Fork]) -> None:
    fork = run("", "--help", program=Program("pytest_microtvm.verify.interpreter_child"))
    assert fork.wait(PATIENCE_S) == 0
    fork.end()


def test_a_program_that_does_not_start_in_time_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text("import time\ntime.sleep(1)\n")
    environment = package_environment()
    environment["PYTHONPATH"] = f"{tmp_path}:{environment.get('PYTHONPATH', '')}"
    note = tmp_path / "note"
    program = script_program(
        tmp_path,
        f"import time\nopen({str(note)!r}, 'w')\n{SLEEP}",
        preload=("slow_module",),
    )
    with Forks() as forks:
        with pytest.raises(ForkError, match="in time") as caught:
            forks.start(program, (), (0, 2, 2), deadline=Deadline(0.1), environment=environment)
        assert caught.value.is_late
        (server,) = forks._servers.values()
        # What comes after it is served; the fork that nobody waits for is gone by then.
        quick = Program(str(script_program(tmp_path, "").name))
        fork = forks.start(quick, (), (0, 2, 2), deadline=Deadline(9), environment=environment)
        fork.end()
        children = Path(f"/proc/{server._process.pid}/task/{server._process.pid}/children")
        wait_until(lambda: not children.read_text())


def test_a_server_that_was_killed_is_replaced(tmp_path: Path) -> None:
    with Forks() as forks:
        program = script_program(tmp_path, SLEEP)
        first = forks.start(program, (), (0, 2, 2), deadline=Deadline(PATIENCE_S))
        (server,) = forks._servers.values()
        os.kill(server._process.pid, signal.SIGKILL)
        assert first.wait(PATIENCE_S) == -signal.SIGKILL
        first.end()
        await_end(first.pid)
        second = forks.start(program, (), (0, 2, 2), deadline=Deadline(PATIENCE_S))
        assert second.poll() is None
    await_end(second.pid)
    second.end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_process_that_uses_it(tmp_path: Path, number: int) -> None:
    program = script_program(tmp_path, SLEEP)
    script = (
        "from pytest_microtvm.deadline import Deadline\n"
        "from pytest_microtvm.forks import Forks, Program\n"
        "forks = Forks()\n"
        f"program = Program({program.name!r})\n"
        "fork = forks.start(program, (), (0, 2, 2), deadline=Deadline(30))\n"
        "(server,) = forks._servers.values()\n"
        "print(fork.pid, server._process.pid, flush=True)\n"
        "fork.wait()\n"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=package_environment(),
    )
    assert user.stdout is not None
    with user.stdout:
        pids = [int(pid) for pid in user.stdout.readline().split()]
    assert all(map(is_running, pids))
    user.send_signal(number)
    user.wait()
    await_end(*pids)


def test_several_threads_start_programs_at_once(forks: Forks, tmp_path: Path) -> None:
    program = script_program(tmp_path, "import sys\nraise SystemExit(int(sys.argv[1]))\n")
    found: dict[int, int] = {}

    def one(number: int) -> None:
        fork = forks.start(program, (str(number),), (0, 2, 2), deadline=Deadline(PATIENCE_S))
        found[number] = fork.wait(PATIENCE_S)
        fork.end()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(8)}


def test_too_few_files_are_an_error(forks: Forks, tmp_path: Path, monkeypatch: Any) -> None:
    program = script_program(tmp_path, "")
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(16)]
    with pytest.raises(ForkError, match="too many open files"):
        forks.start(program, (), (0, 2, 2), deadline=Deadline(PATIENCE_S), pass_fds=files)
    for fd in files:
        os.close(fd)


def test_a_fork_is_shown_as_what_it_is(run: Callable[..., Fork], tmp_path: Path) -> None:
    fork = run("print(flush=True)\n" + SLEEP, "ä", output=(pipe := os.pipe())[1])
    assert os.read(pipe[0], 1) == b"\n"
    shown = Path(f"/proc/{fork.pid}/cmdline").read_bytes().rstrip(b"\0").decode().split("\0")
    assert shown == [sys.executable, str(tmp_path / "program.py"), "ä"]
    fork.end()
    for fd in pipe:
        os.close(fd)


def test_a_process_with_threads_does_not_fork_itself() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert not OwnFork.is_possible()
        with pytest.raises(ValueError, match="a process with threads cannot fork itself"):
            OwnFork(Path("/program.py"), (), (0, 1, 2), (), Path("/"))
    finally:
        ended.set()
        thread.join()
