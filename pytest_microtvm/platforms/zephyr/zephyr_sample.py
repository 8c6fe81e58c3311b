"""What twister reads of a project: sample.yaml."""

from __future__ import annotations

PROJECT_TYPE_ALIASES = {"aot_standalone_demo": "standalone", "example_project": "standalone"}
_LAST_LINE = "done"
"""What a standalone project prints at its end."""
_CONSOLE = f"""\
    harness: console
    harness_config:
      type: one_line
      regex:
        - "{_LAST_LINE}"
"""
_BUILD_ONLY = """\
    build_only: true
"""


def sample_text(project_type: str, board: str) -> str:
    """The text of sample.yaml.

    Args:
        project_type: What twister is to do: run a standalone project, and build any other, which
            waits for a host.
        board: What Zephyr calls the board.
    """
    return f"""\
# SPDX-License-Identifier: Apache-2.0
sample:
  name: A model of pytest-microtvm ({project_type})
tests:
  microtvm.{project_type}:
    platform_allow: {board}
    tags: microtvm
{_CONSOLE if project_type == "standalone" else _BUILD_ONLY}"""
