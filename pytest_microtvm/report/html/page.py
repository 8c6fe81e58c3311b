"""One HTML file, put together of templates, style, scripts, data and the library of charts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_microtvm.errors import ConfigError
from pytest_microtvm.version import __version__

INSTALL = "pip install 'pytest-microtvm[html]'"

_FOLDER = Path(__file__).with_name("page")


def require_libraries() -> None:
    """Make sure, before a long run, that a page can be made at its end.

    Raises:
        ConfigError: A library is missing.
    """
    try:
        import jinja2  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"an HTML report needs the Python package {error.name}", cure=INSTALL
        ) from error


def render(template: str, scripts: tuple[str, ...], data: Any, values: Mapping[str, Any]) -> str:
    """Make a page.

    Args:
        template: The name of its template.
        scripts: Names of its scripts, in their order; they share one scope.
        data: What the scripts draw; of plain types, without NaN or infinities.
        values: What the template shows.

    Raises:
        ConfigError: A library is missing.
    """
    require_libraries()
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(
        **values,
        version=__version__,
        style=_read("style.css"),
        library=_chart_library(),
        scripts="\n".join(_read(name) for name in scripts),
        data=_for_script(data),
    )


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _for_script(data: Any) -> str:
    """JSON that ends no script, whatever is in it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _chart_library() -> str:
    """Vega, Vega-Lite and vega-embed as one script."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
