"""What the package exports, and what importing it costs."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_microtvm as microtvm

ROOT = Path(__file__).resolve().parents[3]
PUBLIC = set(microtvm.__all__)


def test_every_public_name_is_there() -> None:
    assert set(dir(microtvm)) >= PUBLIC
    for name in PUBLIC:
        assert getattr(microtvm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'open_everything'"):
        microtvm.open_everything  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    """Those that are imported for mypy only are those that are loaded when they are used."""
    tree = ast.parse((ROOT / "pytest_microtvm" / "__init__.py").read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {}
    for statement in checked.body:
        assert isinstance(statement, ast.ImportFrom)
        for alias in statement.names:
            seen[alias.name] = statement.module
    assert seen.keys() == PUBLIC - {"__version__"}
    for name, module in seen.items():
        assert getattr(microtvm, name) is getattr(sys.modules[str(module)], name)


def test_every_public_name_is_documented() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)[`(]", text)) >= PUBLIC
    errors = {name for name in PUBLIC if inspect.isclass(getattr(microtvm, name))}
    errors = {name for name in errors if issubclass(getattr(microtvm, name), BaseException)}
    assert set(re.findall(r"^\| `(\w+)` \|", text.partition("## Errors")[2], re.M)) == (
        errors - {"MicroTVMError"}
    )


@pytest.mark.parametrize(
    "function", ["check", "compile", "create_project", "open_project", "evaluate"]
)
def test_functions_are_documented_with_their_arguments(function: str) -> None:
    (heading,) = re.findall(
        rf"^### `{function}\((.*)\)` → `(\w+)`$", (ROOT / "docs" / "api.md").read_text(), re.M
    )
    signature = inspect.signature(getattr(microtvm, function))
    documented = re.findall(r"(?:^|, )(\*{0,2}\w*)(?:=([^,]+))?", heading[0])
    expected = []
    starred = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            expected.append(("*", ""))
            starred = True
        if parameter.kind is parameter.VAR_KEYWORD:
            expected.append((f"**{parameter.name}", ""))
        elif parameter.default is parameter.empty:
            expected.append((parameter.name, ""))
        else:
            default = parameter.default
            shown = f'"{default}"' if isinstance(default, str) else repr(default)
            expected.append((parameter.name, {"1e-05": "1e-5", "1e-06": "1e-6"}.get(shown, shown)))
    assert documented == expected
    assert heading[1] == str(signature.return_annotation)


def test_the_environments_fields_are_documented() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").partition("### `Environment`")[2]
    rows = re.findall(r"^\| `(\w+)` \|", text.partition("### ")[0], re.M)
    assert rows == [field.name for field in dataclasses.fields(microtvm.Environment)]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import pytest_microtvm", {"numpy", "tvm", "pytest", "pytest_microtvm.errors"}),
        ("import pytest_microtvm as m; m.load_boards()", {"numpy", "tvm", "pytest"}),
        (
            "import pytest_microtvm as m; m.check, m.compile, m.create_project",
            {"tvm", "tvm_ffi", "pytest", "pluggy"},
        ),
    ],
)
def test_importing_costs_nothing(statement: str, absent: set[str]) -> None:
    script = f"{statement}; import sys; print(*sys.modules, sep='\\n')"
    output = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
    assert absent & set(output.split()) == set()
