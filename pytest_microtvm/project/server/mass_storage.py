"""Boards that are flashed by copying a file to a volume: UF2 boot loaders, drag-and-drop probes.

Both take the file away: a UF2 boot loader starts the firmware, and the volume is gone; a probe like
DAPLink programs the board and mounts the volume anew, with a FAIL.TXT on it if it did not work.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

from .errors import OptionError, ProjectError
from .flashing import FlashJob

MOUNTED_IN_S = 10.0
"""How long a volume may take to appear, or to come back."""
DEFAULT_FORMAT = "hex"
LEAVES = "uf2"
"""The format after which the volume does not come back."""

_REPORT = "FAIL.TXT"
_MAX_REPORT_BYTES = 4096
_POLL_S = 0.05
# A boot loader may leave before the system has heard that the last block was taken.
_LEFT = frozenset((errno.EIO, errno.ENODEV, errno.ENOENT, errno.ENXIO))


def flash_by_copy(job: FlashJob) -> None:
    """Copy the firmware to the board's volume, and see what becomes of it.

    The volume is `flash.volume`, a label, unless the probe of the lab is the path of its folder.

    Raises:
        OptionError: Neither says which volume.
        ProjectError: It is not there, is full, or the board refuses the file.
    """
    image = job.image(str(job.settings["format"]) or DEFAULT_FORMAT)
    timeout_s = float(job.settings["timeout_s"])
    folder = _await_volume(job)
    copy = folder / image.name
    try:
        with image.open("rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
    except OSError as exc:
        if exc.errno not in _LEFT:
            raise ProjectError(
                f"{image.name} cannot be copied to {folder}: {exc.strerror}",
                cure="is the volume large enough and writable?",
            ) from exc
    if not _await(lambda: not copy.exists(), timeout_s):
        raise ProjectError(
            f"board {job.board['name']} does not take {image.name}: it is still on {folder}",
            cure="is it the right volume, and the format that the board takes (flash.format)?",
        )
    if image.suffix == f".{LEAVES}":
        return
    if not _await(folder.is_dir, MOUNTED_IN_S):
        raise ProjectError(f"the volume {folder} did not come back", cure="plug the board in again")
    report = folder / _REPORT
    if report.exists():
        text = report.read_bytes()[:_MAX_REPORT_BYTES].decode("utf-8", "replace").strip()
        raise ProjectError(f"board {job.board['name']} refuses {image.name}: {text}")


def _await_volume(job: FlashJob) -> Path:
    label = str(job.settings["volume"])
    if os.path.isabs(job.probe):  # noqa: PTH117 - it may be a serial number
        folder = Path(job.probe)
        if not _await(folder.is_dir, MOUNTED_IN_S):
            raise ProjectError(f"the volume {folder} is not there", cure="mount it")
        return folder
    if not label:
        raise OptionError(
            f"board {job.board['name']} has no flash.volume",
            cure="give its label in the definition, or its folder as the probe of the lab",
        )
    if not _await(lambda: _mounted(label) is not None, MOUNTED_IN_S):
        raise ProjectError(
            f"no volume {label} is mounted",
            cure=f"plug the board in and mount it: udisksctl mount -b /dev/disk/by-label/{label}",
        )
    folder_or_none = _mounted(label)
    assert folder_or_none is not None
    return folder_or_none


def _mounted(label: str) -> Path | None:
    """Where a volume is mounted, by the name of the folder, which desktops take from its label."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            folder = Path(line.split()[1].replace("\\040", " "))
            if folder.name == label:
                return folder
    return None


def _await(condition: object, timeout_s: float) -> bool:
    assert callable(condition)
    end_time = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= end_time:
            return False
        time.sleep(_POLL_S)
    return True
