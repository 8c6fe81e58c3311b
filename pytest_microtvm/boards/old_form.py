"""Board files of the form that had one platform: `platform = "NAME"`, and its tables beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_microtvm.errors import ConfigError

MOVED_TABLES = ("toolchain", "uart", "timer", "setup", "firmware")
"""Tables that stood beside the hardware's, and are parts of a platform's table now."""
_ONLY_TARGET = "c"


def convert_old_form(table: dict[str, Any], path: Path) -> dict[str, Any]:
    """Bring a definition into today's form.

    Args:
        table: The definition as it was read; one in today's form has no key `platform`.
        path: Its file.

    Returns:
        The definition in today's form.

    Raises:
        ConfigError: A key is of a wrong type, or was never used.
    """
    if "platform" not in table:
        return table
    converted = dict(table)
    platform = converted.pop("platform")
    if not isinstance(platform, str):
        raise ConfigError(f"{path}: platform must be a string, not {platform!r}")
    if platform in converted:
        raise ConfigError(
            f"{path}: there are both platform = {platform!r} and a table [{platform}]",
            cure="remove the key platform; the first platform's table is the default",
        )
    if converted.pop("target", _ONLY_TARGET) != _ONLY_TARGET:
        raise ConfigError(
            f"{path}: target was never used: kernels are C code", cure="remove the key target"
        )
    settings = {name: converted.pop(name) for name in MOVED_TABLES if name in converted}
    firmware = settings.pop("firmware", {})
    if not isinstance(firmware, dict):
        raise ConfigError(f"{path}: firmware must be a table")
    settings.update(firmware)
    cpu = converted.get("cpu")
    if isinstance(cpu, dict) and "startup" in cpu:
        converted["cpu"] = {key: value for key, value in cpu.items() if key != "startup"}
        settings["startup"] = cpu["startup"]
    return {**converted, platform: settings}
