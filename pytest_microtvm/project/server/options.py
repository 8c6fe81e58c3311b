"""What a platform tells about its options, and those that are common to all platforms."""

from __future__ import annotations

import collections
import os
from collections.abc import Mapping
from typing import Any

_ProjectOption = collections.namedtuple(
    "_ProjectOption", ("name", "choices", "default", "type", "required", "optional", "help")
)


class ProjectOption(_ProjectOption):
    """What a platform tells about one of its options.

    Args:
        name: The option's key.
        type: "str", "int", "bool", "path" or "list".
        required: Names of the methods that cannot do without it.
        optional: Names of the methods that use it when given.
        choices: Every allowed value, or None for no limit.
        default: The value used when the option is not given.
        help: One line for a person.
    """

    __slots__ = ()

    def __new__(cls, name: str, **attributes: Any) -> ProjectOption:
        """Check that the attributes that every option has are there."""
        if "type" not in attributes:
            raise ValueError(f"option {name}: type= is missing")
        if not attributes.get("required") and not attributes.get("optional"):
            raise ValueError(f"option {name}: neither required= nor optional= names a method")
        for key in ("choices", "default", "required", "optional"):
            attributes.setdefault(key, None)
        attributes.setdefault("help", "")
        return super().__new__(cls, name=name, **attributes)

    def replace(self, attributes: Mapping[str, Any]) -> ProjectOption:
        """A copy with `attributes` changed."""
        return self._replace(**attributes)


def words_of(value: Any) -> list[str]:
    """The items of a list option, which may be one text with spaces between them."""
    return value.split() if isinstance(value, str) else [str(item) for item in value or ()]


def default_project_options(**changes: Mapping[str, Any]) -> list[ProjectOption]:
    """The options common to all platforms.

    Args:
        changes: For an option's name, the attributes to change:
            `default_project_options(verbose={"optional": ["build"]})`.

    Raises:
        ValueError: `changes` names no common option.
    """
    generate = ["generate_project"]
    options = {
        option.name: option
        for option in (
            ProjectOption(
                "verbose",
                optional=generate,
                type="bool",
                default=False,
                help="Show every command of the build.",
            ),
            ProjectOption(
                "project_type", required=generate, type="str", help="Kind of project to generate."
            ),
            ProjectOption("board", required=generate, type="str", help="Board to build for."),
            ProjectOption(
                "cmsis_path",
                optional=generate,
                type="str",
                default=os.environ.get("CMSIS_PATH"),
                help="Folder that holds CMSIS.",
            ),
            ProjectOption(
                "warning_as_error",
                optional=generate,
                type="bool",
                default=False,
                help="Stop at compiler warnings.",
            ),
            ProjectOption(
                "compile_definitions",
                optional=generate,
                type="str",
                default=None,
                help="Further definitions for the compiler, such as -DNAME=VALUE.",
            ),
            ProjectOption(
                "extra_files_tar",
                optional=generate,
                type="str",
                default=None,
                help="A tar archive to unpack into the generated project.",
            ),
        )
    }
    for name, attributes in changes.items():
        if name not in options:
            raise ValueError(f"{name} is not one of the common project options")
        options[name] = options[name].replace(attributes)
    return list(options.values())
