"""The files of tuning logs: one for a core that comes with the package, and those of users."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from pytest_microtvm.errors import ConfigError

UNTUNED = "none"
"""In place of a log: every kernel as the compiler writes it by itself."""

MAX_LOG_BYTES = 16 * 1024 * 1024
LOG_CURE = "give a log that microtvm tune wrote"
_LOGS = Path(__file__).parent / "tuning" / "logs"


@functools.cache
def has_shipped_log(core: str) -> bool:
    """Whether a log for a core comes with the package."""
    return Path(core).name == core and _shipped_log(core).is_file()


def logs_of(core: str, tuning: str | None) -> list[Path]:
    """The logs that say how kernels are written, the one that counts most last.

    Args:
        core: As boards call it; empty for none.
        tuning: A log of one's own beside the one that comes with the package; `UNTUNED` for
            neither.
    """
    if not core or tuning == UNTUNED:
        return []
    shipped = [_shipped_log(core)] if has_shipped_log(core) else []
    return shipped if tuning is None else [*shipped, Path(tuning)]


def read_bytes(log: Path) -> bytes:
    """What is in a log.

    Raises:
        ConfigError: It cannot be read, or is too large.
    """
    try:
        size_bytes = log.stat().st_size
        if size_bytes > MAX_LOG_BYTES:
            raise ConfigError(
                f"the tuning log {log} has {size_bytes} bytes, more than {MAX_LOG_BYTES}",
                cure=LOG_CURE,
            )
        return log.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the tuning log {log} cannot be read: {error.strerror or error}",
            cure="check the path",
        ) from error


def tuning_digest(core: str, tuning: str | None) -> str:
    """A hash of the logs that are read, in hexadecimal; empty where there are none.

    Args:
        core: As of `logs_of`.
        tuning: Likewise.

    Raises:
        ConfigError: A log cannot be read.
    """
    logs = logs_of(core, tuning)
    digests = [hashlib.sha256(read_bytes(log)).hexdigest() for log in logs]
    return " ".join(digests)


def _shipped_log(core: str) -> Path:
    return _LOGS / f"{core}.jsonl"
