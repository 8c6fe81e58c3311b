"""How Sphinx makes the site from the pages of this folder, which read as well on a code host."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pytest_microtvm.version import __version__  # noqa: E402

SOURCE = "https://github.com/pytest-microtvm/pytest-microtvm/blob/main"

project = "pytest-microtvm"
author = "The pytest-microtvm maintainers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
nitpicky = False
suppress_warnings = ["myst.header"]  # pages of decisions begin with their number

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "Inputs", "Samples", "StrPath")}
default_role = "literal"  # as docstrings use single backticks
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "pytest-microtvm"
html_static_path = ["pictures"]
html_theme_options = {
    "source_repository": "https://github.com/pytest-microtvm/pytest-microtvm/",
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

# The pages in the order of the site; a page that is not named follows as the last of its kind.
NAVIGATION = {
    "Start": ["tutorial", "tutorial_keyword", "coming_from_microtvm"],
    "How to": [
        "testing",
        "reports",
        "howto_budgets",
        "howto_ci",
        "howto_debugging",
        "lab",
        "zephyr",
        "arduino",
        "freertos",
        "porting",
        "tuning",
        "howto_operator",
        "product",
        "troubleshooting",
        "faq",
    ],
    "Reference": [
        "options",
        "command",
        "api",
        "python_reference",
        "boards",
        "operators",
        "metrics",
        "errors",
        "mlf",
        "c-interface",
        "protocol",
        "size",
        "misra",
    ],
    "Background": ["architecture", "integers", "custom-operators", "kernels", "onnx", "adr/README"],
}
_named = {"index", *(page for pages in NAVIGATION.values() for page in pages)}
NAVIGATION["Reference"] += sorted({page.stem for page in ROOT.glob("docs/*.md")} - _named)

_OUTSIDE = re.compile(r"\]\(((?:\.\./)+)([^)#]*)(#[^)]*)?\)")


def link_to_source(app: Sphinx, name: str, text: list[str]) -> None:
    """Point links to files outside of this folder to the code host.

    A link to a file that is not there is left as it is, and refused by the build.
    """
    folder = (ROOT / "docs" / name).parent

    def target(found: re.Match[str]) -> str:
        up, path, anchor = found.groups()
        file = (folder / up / path).resolve()
        if not file.exists() or not file.is_relative_to(ROOT) or (ROOT / "docs") in file.parents:
            return found[0]
        return f"]({SOURCE}/{file.relative_to(ROOT)}{anchor or ''})"

    text[0] = _OUTSIDE.sub(target, text[0])


def add_navigation(app: Sphinx, name: str, text: list[str]) -> None:
    """Give the first page the site's navigation, and the page of decisions its own."""
    if name == "index":
        text[0] += "".join(_toctree(pages, title) for title, pages in NAVIGATION.items())
    elif name == "adr/README":
        text[0] += _toctree(["0*"], "")


def _toctree(pages: list[str], caption: str) -> str:
    options = [":hidden:"] if caption else [":glob:", ":maxdepth: 1"]
    options += [f":caption: {caption}"] if caption else []
    return "\n\n" + "\n".join(["```{toctree}", *options, "", *pages, "```"]) + "\n"


def setup(app: Sphinx) -> None:
    """Add what this file defines."""
    app.connect("source-read", link_to_source)
    app.connect("source-read", add_navigation)
