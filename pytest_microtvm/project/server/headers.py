"""The generated headers that tell the sources of a project what it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

BOARD_HEADER = "microtvm_board.h"
"""What depends on the board alone: drivers that include no more are the same for all models."""
PROJECT_HEADER = "microtvm_project.h"
"""What depends on the model, too."""


def header_text(name: str, macros: Mapping[str, str], includes: Iterable[str] = ()) -> str:
    """Write a header.

    Args:
        name: The file, such as "microtvm_board.h".
        macros: What it defines: name to value.
        includes: Further headers of the project that it includes.
    """
    guard = f"GENERATED_{name.upper().replace('.', '_')}_"
    included = [f'#include "{include}"' for include in includes]
    lines = [
        "/* What this project is made of; generated. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        *included,
        *([""] if included else []),
        *(f"#define {macro} {value}" for macro, value in macros.items()),
        "",
        f"#endif /* {guard} */",
    ]
    return "\n".join(lines) + "\n"
