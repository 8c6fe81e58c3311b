"""`microtvm lab virtual`, and the fixture: a lab around a command, and nothing of it afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.lab.file import load_lab
from tests.contract.running import children_of, need_tools
from tests.patience import await_end

KIND = "netduinoplus2"
MAIN = "import sys; from pytest_microtvm.command.main import main; sys.exit(main())"
SHOW = "import os, pathlib; print(pathlib.Path(os.environ['MICROTVM_LAB']).read_text())"


@pytest.fixture(autouse=True)
def _tools() -> None:
    need_tools(load_boards()[KIND])


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder for sockets, whose paths must not be long."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def lab_command(directory: Path, *command: str, boards: str = KIND) -> list[str]:
    options = ["--boards", boards, "--directory", str(directory)]
    return [sys.executable, "-c", MAIN, "lab", "virtual", *options, *command]


def test_the_command_finds_the_lab(tmp_path: Path) -> None:
    command = lab_command(tmp_path, "--", sys.executable, "-c", SHOW, boards=f"{KIND}=2")
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    (tmp_path / "copy.toml").write_text(result.stdout)
    boards = load_lab(tmp_path / "copy.toml", load_boards())
    assert [board.name for board in boards] == [f"{KIND}-1", f"{KIND}-2"]
    assert not (tmp_path / "microtvm-lab.toml").exists()


def test_its_exit_status_is_the_commands(tmp_path: Path) -> None:
    for script, status in (("exit 7", 7), ("kill -9 $$", 137)):
        command = lab_command(tmp_path, "--", "sh", "-c", script)
        assert subprocess.run(command, timeout=60).returncode == status


@pytest.mark.parametrize(
    ("boards", "command", "message"),
    [
        ("nothing", "true", "unknown board 'nothing'; "),
        (f"{KIND}=none", "true", "'netduinoplus2=none' is no number of boards"),
        ("host", "true", "there is no virtual host"),
        (KIND, "no-such-program", "cannot start no-such-program"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, boards: str, command: str, message: str) -> None:
    line = lab_command(tmp_path, "--", command, boards=boards)
    result = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert result.stderr.startswith(f"microtvm: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_all_of_it(tmp_path: Path, number: signal.Signals, short_tmp: Path) -> None:
    script = "echo begun; exec sleep 60"
    process = subprocess.Popen(
        lab_command(tmp_path, "--", "sh", "-c", script),
        env={**os.environ, "TMPDIR": str(short_tmp)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    children = children_of(process.pid)
    below = [pid for child in children for pid in children_of(child)]
    assert len(children) == 2  # the lab and the command
    assert below  # QEMU
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    expected = -number if number == signal.SIGKILL else 128 + number
    assert process.wait(20) == expected
    process.stdout.close()
    await_end(*children, *below)
    assert list(short_tmp.iterdir()) == []


def test_the_fixture(pytester: pytest.Pytester) -> None:
    if shutil.which("gdb-multiarch") is None:
        pytest.skip("gdb-multiarch is missing; install it: apt-get install gdb-multiarch")
    pytester.makepyfile(
        """
        def test_boards(microtvm_virtual_lab):
            lab = microtvm_virtual_lab("netduinoplus2=2")
            other = microtvm_virtual_lab("netduinoplus2")
            assert lab.lab_file.exists()
            assert lab.probes.keys() == {"netduinoplus2-1", "netduinoplus2-2"}
            board = lab["netduinoplus2-2"]
            assert board.port.exists()
            board.unplug()
            assert not board.port.exists()
            assert other["netduinoplus2-1"].port.exists()
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
