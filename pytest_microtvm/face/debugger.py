"""`--microtvm-debug`: the first model that fails on an emulated board, again and under gdb.

`microtvm debug` does it, on the terminal that pytest has, with a copy of the firmware's project and
the inputs that the test gave.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_microtvm.errors import ConfigError, MicroTVMError
from pytest_microtvm.face.options import asks_for_boards
from pytest_microtvm.face.results import UNDER_TEST

if TYPE_CHECKING:
    from pytest_microtvm.face.run import Run
    from pytest_microtvm.flow.model_under_test import Difference, ModelUnderTest
    from pytest_microtvm.verify.inputs import Tensors

OPTION = "--microtvm-debug"
_TERMINAL = (0, 1)  # standard input and output


def check_usage(config: pytest.Config) -> None:
    """Make sure that gdb would have a terminal and something to run.

    Raises:
        ConfigError: It would not.
    """
    if not asks_for_boards(config):
        raise ConfigError(f"{OPTION} needs a board", cure="add --microtvm-board=NAME")
    is_worker = hasattr(config, "workerinput")
    if is_worker or config.getoption("dist", "no") != "no":
        raise ConfigError(
            f"{OPTION} does not work with pytest-xdist: its workers have no terminal",
            cure="leave -n and --dist out, or add -n0",
        )
    _give_terminal(config)
    if not all(map(os.isatty, _TERMINAL)):
        raise ConfigError(
            f"{OPTION} needs a terminal: gdb is interactive",
            cure="run pytest on a terminal, its input and output not redirected",
        )


class Debugger:
    """Starts gdb, once.

    Args:
        run: The pytest run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._is_done = False

    def pytest_exception_interact(
        self, node: pytest.Item, call: pytest.CallInfo[Any], report: pytest.TestReport
    ) -> None:
        """Debug the model of a test that has just failed, if its outputs were wrong."""
        under_test = node.stash.get(UNDER_TEST, None)
        difference = None if under_test is None else under_test.difference
        is_verdict = call.excinfo is not None and call.excinfo.errisinstance(AssertionError)
        if under_test is None or difference is None or self._is_done or not is_verdict:
            return
        tell = self._run.console.tell
        try:
            self._require_debug(under_test)
        except MicroTVMError as error:
            tell(f"{node.nodeid} is not debugged: {error.one_line()}")
            return
        self._is_done = True
        kernel = difference.explanation.kernel
        where = kernel or "its first kernel"
        tell(f"{report.longreprtext}\n{node.nodeid} under gdb, up to {where}; leave gdb to go on")
        try:
            _debug(node.config, self._run, under_test, difference)
        except (MicroTVMError, OSError) as error:
            tell(f"{node.nodeid} is not debugged: {error}")

    def _require_debug(self, under_test: ModelUnderTest) -> None:
        """Make sure that a board can be debugged.

        Raises:
            ConfigError: It cannot.
        """
        from pytest_microtvm.project.server.api import DEBUG

        board, harness = under_test.board, self._run.harness
        if harness.is_real(board):
            raise ConfigError(
                f"{board.label} is a real board, and only emulated ones are started under gdb",
                cure="leave it out of the lab if it can be emulated, or use its probe's gdb server",
            )
        harness.workshop.toolchains.require(board, DEBUG)


def _debug(
    config: pytest.Config, run: Run, under_test: ModelUnderTest, difference: Difference
) -> None:
    """Run `microtvm debug` until the user leaves gdb."""
    from pytest_microtvm.api.projects import copy_firmware
    from pytest_microtvm.process import interrupts_for_child, package_environment

    folder = run.processes.folder / "debug"
    project, inputs = folder / "project", folder / "inputs.npz"
    copy_firmware(under_test.firmware, project)
    _write_arrays(inputs, difference.inputs)
    platform = run.settings.platforms[under_test.board.platform]
    command = [sys.executable, "-m", "pytest_microtvm.command", "debug", str(project)]
    command += ["--parent-pid", str(os.getpid()), "--inputs", str(inputs)]
    command += ["--cache-dir", str(run.cache_dir.absolute())]
    command += ["--platforms-dir", str(platform.directory)]
    if difference.explanation.kernel:
        command += ["--break", difference.explanation.kernel]
        command += ["--ignore", str(difference.explanation.earlier_calls)]
    _give_terminal(config)
    environment = package_environment()
    environment.pop("MICROTVM_LAB", None)  # nor is there a lab file in the folder: it is emulated
    with interrupts_for_child():
        subprocess.run(command, cwd=folder, env=environment, check=False)


def _give_terminal(config: pytest.Config) -> None:
    """Suspend pytest's capture, of the standard input as well, until pytest resumes it itself."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    if capture is not None:
        capture.suspend(in_=True)


def _write_arrays(path: Path, arrays: Tensors) -> None:
    """Write an `.npz` file; unlike `numpy.savez` also arrays that are called `file`."""
    import numpy as np

    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
