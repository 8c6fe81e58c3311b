"""Objects that were compiled before are not compiled again: ccache, where it is installed.

Most of a project's sources are the same for all models of a board: the runtime and the drivers.
ccache finds the object of a source by the hash of all that went into it, and checks what it finds
by a checksum, since version 4.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil

from .process import run_tool

LIMIT = "256M"
"""What the kept objects together may take; those that were used longest ago go first."""

_FIRST_VERSION_WITH_CHECKSUMS = 4
_ASK_TIMEOUT_S = 10.0


def compiler_cache(objects: pathlib.Path, project: pathlib.Path) -> dict[str, str]:
    """Variables for make's environment that put ccache before the compiler.

    Args:
        objects: The folder of objects, unless the environment names one of the user's own, as
            ccache's documentation says: by CCACHE_DIR.
        project: Where the sources are. Flags map it to ".", so that an object is the same wherever
            its source is.

    Returns:
        The variables; none where ccache is missing, too old, or cannot write the folder.
    """
    program = shutil.which("ccache")
    users_own = os.environ.get("CCACHE_DIR")
    folder = pathlib.Path(users_own) if users_own else objects
    if program is None or not _can_write(folder) or not _has_checksums(program):
        return {}
    return {
        "COMPILER_LAUNCHER": "ccache",
        "CCACHE_DIR": str(folder),
        "CCACHE_BASEDIR": str(project),
        "CCACHE_NOHASHDIR": "1",
        **({} if users_own else {"CCACHE_MAXSIZE": LIMIT}),
    }


def _can_write(folder: pathlib.Path) -> bool:
    try:
        (folder / "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / "tmp" / "probe"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _has_checksums(program: str) -> bool:
    status, output = run_tool([program, "--version"], pathlib.Path("/"), _ASK_TIMEOUT_S)
    version = re.search(r"version (\d+)", output)
    return status == 0 and version is not None and int(version[1]) >= _FIRST_VERSION_WITH_CHECKSUMS
