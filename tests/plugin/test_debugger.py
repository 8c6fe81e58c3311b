"""`--microtvm-debug`: gdb on the terminal, at the kernel that makes a test fail."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from tests.contract.running import need_tools
from tests.plugin.running import MODELS, plugin_command, plugin_environment
from tests.plugin.test_errors import plant_wrong_weights
from tests.terminal import PROMPT, TIMEOUT_S, Terminal, await_none, on_terminal
from tests.unit.compiler.tflite_models import running_sum

OPTION = "--microtvm-debug"


@pytest.fixture
def models(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    need_tools(load_boards()["qemu_x86"])
    if shutil.which("gdb-multiarch") is None:
        pytest.skip("gdb-multiarch is missing; install it: apt-get install gdb-multiarch")
    shutil.copy(MODELS / "keyword_int8.tflite", workspace)
    monkeypatch.chdir(workspace)
    return workspace


def on_pytest(
    folder: Path, cache: Path, *arguments: str
) -> AbstractContextManager[tuple[Terminal, subprocess.Popen[bytes]]]:
    """pytest on a terminal, its temporary files in a folder."""
    command = plugin_command(OPTION, f"--microtvm-cache-dir={cache}", *arguments)
    (folder / "tmp").mkdir()
    return on_terminal(*command, env=plugin_environment(TMPDIR=str(folder / "tmp")))


def test_it_stops_at_the_kernel_that_is_wrong(models, warm_cache):
    arguments = ("--microtvm-board=qemu_x86", "--microtvm-executor=aot,host_driven")
    cache, _ = warm_cache("keyword_int8.tflite", *arguments)
    for image in cache.glob("firmware/*/project/build/firmware.elf"):
        plant_wrong_weights(image)
    with on_pytest(models, cache, "keyword_int8.tflite", *arguments) as (terminal, process):
        report = terminal.read_to("aot[qemu_x86] under gdb, up to ")
        kernel = terminal.read_to(";")
        assert f" {kernel}, " in report.partition("first difference: node ")[2]
        assert f"Breakpoint 1, {kernel} " in terminal.read_to(PROMPT)
        terminal.write("bt -frame-arguments none")
        assert "tvmgen_keyword_int8_execute" in terminal.read_to(PROMPT)  # of aot
        terminal.write("continue")
        # It was given what the test was: it is wrong in the same way.
        terminal.read_to("the model has run: scores = [")
        scores = list(map(int, terminal.read_to("]").split()))
        shown = [line.partition("device ")[2].partition(",")[0] for line in report.splitlines()]
        assert scores == [int(each) for each in shown if each.lstrip("-").isdigit()]
        terminal.read_to(PROMPT)
        terminal.write("quit")
        terminal.read_to("2 failed in")  # the other executor's was not debugged
        assert process.wait(TIMEOUT_S) == 1
    await_none(models)
    assert not list((models / "tmp").iterdir())


def test_boards_that_cannot_be_debugged_are_passed_by(models, shared_cache):
    """And a test in Python, a model with states, and outputs that are wrong in no kernel."""
    (models / "sum.tflite").write_bytes(running_sum().to_bytes())
    (models / "test_it.py").write_text(
        "import numpy as np\n"
        "import pytest\n"
        "@pytest.mark.microtvm_model('sum.tflite')\n"
        "def test_it(microtvm):\n"
        "    microtvm.check(np.ones((4, 3), np.float32))\n"
    )
    np.savez(models / "wrong.npz", after=np.zeros((4, 3), np.float32))
    arguments = ("--microtvm-board=host,qemu_x86", "--microtvm-reference=wrong.npz")
    with on_pytest(models, shared_cache, "test_it.py", *arguments) as (terminal, process):
        terminal.read_to("is not debugged: host: the platform host cannot debug host")
        terminal.read_to("under gdb, up to its first kernel;")
        assert "Breakpoint 1, tvmgen_sum_" in terminal.read_to(PROMPT)
        terminal.write("delete 1")
        terminal.read_to(PROMPT)
        terminal.write("continue")
        terminal.read_to("the model has run: after = [")
        outputs = list(map(float, terminal.read_to("]").split()))
        assert outputs == [2, 3, 4, 3, 4, 5, 4, 5]  # the first of four steps of three
        process.kill()
        process.wait()
    await_none(models)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--microtvm-board=host"], "needs a terminal: gdb is interactive"),
        (["--microtvm-board=host", "-n1"], "does not work with pytest-xdist"),
        ([], "needs a board; add --microtvm-board=NAME"),
    ],
)
def test_what_it_needs_is_told(run_pytest_inside, arguments, message):
    outcome = run_pytest_inside(OPTION, *arguments)
    assert outcome.status == 4
    assert outcome.lines(f"{OPTION} {message}")
