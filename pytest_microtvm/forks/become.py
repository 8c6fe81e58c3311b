"""How a fork becomes a program of its own."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import traceback
import types
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NoReturn

_FIRST_FREE_FD = 3
_ARGUMENTS = 45
"""Which field of /proc/PID/stat behind the name says where the arguments begin: see proc(5)."""


def become(
    run: Callable[[], object],
    streams: tuple[int, int, int],
    pass_fds: Collection[int],
    folder: str | Path,
) -> NoReturn:
    """Have this process, a fork, run a program and end.

    Args:
        run: The program; what it returns is the exit status, if that is a number.
        streams: What it has as standard input, output and error output.
        pass_fds: The other files that it has; all that are not named are closed.
        folder: The folder that it runs in.
    """
    status: object = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if callable(signal.getsignal(number)):  # it is another's; a new Python has none
                signal.signal(number, signal.SIG_DFL)
        for target, source in enumerate(streams):
            os.dup2(source, target)
        first = _FIRST_FREE_FD
        for fd in sorted(pass_fds):
            os.set_inheritable(fd, True)
            os.closerange(first, fd)
            first = fd + 1
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))
        os.chdir(folder)
        status = run()
    except SystemExit as exc:
        status = exc.code
    except BaseException:  # noqa: BLE001 - what a Python of its own would do
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(_exit_status(status))


def run_module(name: str, arguments: Sequence[str]) -> object:
    """Run a module's `main`, as `python -m` would."""
    _show_command(sys.executable, "-m", name, *arguments)
    sys.argv = [name, *arguments]
    return importlib.import_module(name).main()


def run_script(path: str, arguments: Sequence[str]) -> object:
    """Run a Python file, as `python FILE` would."""
    _show_command(sys.executable, path, *arguments)
    script = Path(path)
    sys.argv = [path, *arguments]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[:1] = [str(script.parent)]
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    module.__file__ = str(script)
    exec(compile(script.read_bytes(), script.name, "exec", dont_inherit=True), module.__dict__)
    return None


def _show_command(*words: str) -> None:
    """Have `ps` show what this process is, as far as its old command line has room for that."""
    fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
    start, end = (int(field) for field in fields[_ARGUMENTS : _ARGUMENTS + 2])
    text = b"\0".join(word.encode("utf-8", "surrogateescape") for word in words)
    if start:
        room = end - start
        ctypes.memmove(start, text[: room - 1].ljust(room, b"\0"), room)


def _exit_status(returned: object) -> int:
    if isinstance(returned, int):
        return returned & 0xFF
    return int(returned is not None)
