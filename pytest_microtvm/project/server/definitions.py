"""The definitions that a user gives to the compiler, of which one is the firmware's own id."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from .errors import OptionError

_BUILD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_DEFINITION = re.compile(r"-D([A-Za-z_][A-Za-z0-9_]*)(?:=(.*))?\Z", re.DOTALL)


def split_definitions(definitions: str | Iterable[str]) -> tuple[list[str], str]:
    """Take the build id out of the compiler's definitions: it goes into the project's header.

    Returns:
        The other definitions, and the build id, empty when none is given.

    Raises:
        OptionError: Something that is not of the form -DNAME or -DNAME=VALUE.
    """
    others = []
    build_id = ""
    for definition in shlex.split(definitions) if isinstance(definitions, str) else definitions:
        match = _DEFINITION.match(definition)
        if match is None:
            raise OptionError(
                f"compile_definitions: {definition!r} is not a definition",
                cure="write -DNAME or -DNAME=VALUE",
            )
        if match[1] != "MICROTVM_BUILD_ID":
            others.append(definition)
            continue
        build_id = (match[2] or "").strip("\"'")
        if not _BUILD_ID.match(build_id):
            raise OptionError(
                f"the build id {build_id!r} is not made of up to 64 letters, digits, . _ and -"
            )
    return others, build_id
