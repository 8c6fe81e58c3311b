"""`microtvm debug`: the model's run under gdb, on an emulated board.

Two processes take part: this one runs gdb on the user's terminal; a child, the same command with
`--gdbserver-port`, opens the device and runs the model, and waits for as long as gdb holds the CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pytest_microtvm.command.parsers import FAILED, OK, CommandParser, tell
from pytest_microtvm.command.projects import (
    add_project_options,
    project_and_options,
    require_build,
)
from pytest_microtvm.command.running import add_inputs, make_given_inputs
from pytest_microtvm.errors import BuildError, ConfigError

if TYPE_CHECKING:
    from pytest_microtvm.api.projects import Project

GDB = "gdb-multiarch"
PATIENCE_S = 7 * 24 * 3600.0
"""For every wait: nobody knows how long a person looks at a breakpoint."""
_CONNECT_S = 60
_END_S = 5.0
_LOOK_S = 0.5


def fill(parser: CommandParser, _given: Sequence[str]) -> None:
    """Add what the subcommand takes."""
    parser.usage = "%(prog)s [-h] [OPTION ...] PROJECT_DIR [-- GDB_ARGUMENT ...]"
    parser.add_argument(
        "project_dir", metavar="PROJECT_DIR", type=Path, help="Project dir with an image built."
    )
    parser.add_argument(
        "gdb_arguments", nargs="*", metavar="GDB_ARGUMENT", help="further arguments for gdb."
    )
    parser.add_argument(
        "--gdbserver-port",
        type=int,
        metavar="N",
        help="only serve: the board waits for a gdb of your own at this port.",
    )
    parser.add_argument(
        "--break",
        dest="function",
        metavar="FUNCTION",
        help="where to stop; the model's first kernel unless given.",
    )
    parser.add_argument(
        "--ignore",
        type=int,
        default=0,
        metavar="N",
        help="pass this many calls of that function by. Defaults to '0'",
    )
    parser.add_argument("--parent-pid", type=int, help=argparse.SUPPRESS)
    add_inputs(parser)
    add_project_options(parser, "open_transport", "--options")
    parser.set_defaults(run=_debug)


def _debug(arguments: argparse.Namespace) -> int:
    if arguments.parent_pid is not None:
        from pytest_microtvm.process import die_with_parent

        die_with_parent(arguments.parent_pid)
    arguments.timeout = PATIENCE_S
    project, values = project_and_options(arguments)
    if project is None:
        return OK
    require_build(project)
    project.require_debug(**values)
    if arguments.gdbserver_port is not None:
        return _serve(arguments, project, values)
    if shutil.which(GDB) is None:
        raise BuildError(f"{GDB} is not installed", cure=f"install it: apt-get install {GDB}")
    return _run_gdb(arguments, project)


def _serve(arguments: argparse.Namespace, project: Project, values: dict[str, Any]) -> int:
    """Open the device with its gdb server, and run the model once, however long that takes."""
    port = arguments.gdbserver_port
    given = make_given_inputs(arguments, project.library)
    if arguments.parent_pid is None:
        tell(f"waiting for gdb: {shlex.join(_gdb_words(arguments, project, port))}")
    with project.open(**{**values, "gdbserver_port": port}) as device:
        outputs = given.run_on(device)
    for name, array in outputs.items():
        print(f"microtvm: the model has run: {name} = {array.reshape(-1)[:8]}", flush=True)
    return OK


def _run_gdb(arguments: argparse.Namespace, project: Project) -> int:
    from pytest_microtvm.process import interrupts_for_child

    port = _free_port()
    with (
        tempfile.TemporaryFile("w+") as said,
        _device(arguments, port, said) as device,
        interrupts_for_child(),
    ):
        gdb = subprocess.Popen(
            [*_gdb_words(arguments, project, port), *arguments.gdb_arguments], cwd=project.directory
        )
        watch = threading.Thread(target=_tell_of_end, args=(device, gdb, said), daemon=True)
        watch.start()
        status = gdb.wait()
        with contextlib.suppress(subprocess.TimeoutExpired):
            device.wait(_END_S)
        has_run = device.returncode == 0
    if status == 0 or has_run:
        return OK
    tell(f"{GDB} ended with status {status}")
    return FAILED


def _tell_of_end(
    device: subprocess.Popen[str], gdb: subprocess.Popen[bytes], said: IO[str]
) -> None:
    """Have gdb look at its connection once the board has gone: it sleeps on else (gdb 13)."""
    status = device.wait()
    time.sleep(_LOOK_S)
    if gdb.poll() is not None:
        return
    if status != 0:
        said.seek(0)
        print(said.read().strip(), file=sys.stderr, flush=True)
    gdb.send_signal(signal.SIGINT)


def _gdb_words(arguments: argparse.Namespace, project: Project, port: int) -> list[str]:
    """The command line of a gdb that stops at the model's first kernel, or where it was told to."""
    elf = project.elf
    if elf is None:
        raise ConfigError(
            f"the platform {project.platform} tells of no program with symbols",
            cure="start gdb by hand, with --gdbserver-port",
        )
    function = arguments.function
    if function is None:
        kernels = project.library.kernels
        function = kernels[0].name if kernels else _run_function()
    commands = [
        "set pagination off",
        "set debuginfod enabled off",
        f"set tcp connect-timeout {_CONNECT_S}",
        f"target remote 127.0.0.1:{port}",
        f"break {function}",
        *([f"ignore 1 {arguments.ignore}"] if arguments.ignore else []),
        "continue",
    ]
    words = [word for command in commands for word in ("-ex", command)]
    return [GDB, "-q", *words, str(elf.absolute())]


def _run_function() -> str:
    from pytest_microtvm.measure.elf import RUN_FUNCTION

    return RUN_FUNCTION


@contextlib.contextmanager
def _device(
    arguments: argparse.Namespace, port: int, said: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    """The child that opens the device; gone at the end, with all that it started."""
    from pytest_microtvm.process import kill_group, package_environment

    command = [sys.executable, "-m", "pytest_microtvm.command", "debug"]
    command += [str(arguments.project_dir), "--gdbserver-port", str(port)]
    command += ["--parent-pid", str(os.getpid()), "--fill-mode", arguments.fill_mode]
    for flag, value in (
        ("--inputs", arguments.inputs),
        ("--seed", arguments.seed),
        ("--cache-dir", arguments.cache_dir),
    ):
        command += [] if value is None else [flag, str(value)]
    for kind in ("boards", "platforms"):
        for folder in getattr(arguments, f"{kind}_dir"):
            command += [f"--{kind}-dir", str(folder)]
    if arguments.lab is not None:
        command += ["--lab", str(arguments.lab)]
    if arguments.project_option:
        command += ["--options", *arguments.project_option]
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stderr=said,
        text=True,
        env=package_environment(),
        start_new_session=True,  # Ctrl-C is for gdb
    )
    try:
        yield child
    finally:
        kill_group(child)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
