"""What import-linter (pyproject.toml) cannot see: templates, the map of rooms, lengths."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

PACKAGE = Path(__file__).resolve().parents[2] / "pytest_microtvm"
ROOT = PACKAGE.parent
MOST_LINES = 500
SERVERS = sorted(PACKAGE.glob("platforms/*/*.py"))


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function, by its full name."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} is no package: it cannot import from {node.module}"
            if node.module == "pytest_microtvm.project":
                modules |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                modules.add(str(node.module))
    return modules


@pytest.mark.parametrize("server", SERVERS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_platform_servers_can_be_copied_out(server: Path) -> None:
    ours = {name for name in imported_modules(server) if name.startswith("pytest_microtvm")}
    assert ours <= {"pytest_microtvm.project.server"}
    beside = {path.stem for path in server.parent.glob("*.py")}
    others = {name.split(".")[0] for name in imported_modules(server)} - {"pytest_microtvm"}
    assert others - beside <= sys.stdlib_module_names


def test_there_are_servers() -> None:
    assert {path.parent.name for path in SERVERS} >= {"baremetal", "host"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("face.plugin", {"numpy", "tvm", "tvm_ffi", "pytest_microtvm.flow"}),
        (
            "command.main",
            {"numpy", "tvm", "pytest", "pytest_microtvm.boards", "pytest_microtvm.flow"},
        ),
        ("flow.harness", {"tvm", "tvm_ffi", "tflite", "onnx"}),
        (
            "project.server",
            {"numpy", "tvm", "pytest_microtvm.boards", "pytest_microtvm.mlf"},
        ),
    ],
)
def test_imports_stay_light(module: str, absent: set[str]) -> None:
    """A plain pytest run loads the faces only; nothing before a compilation loads TVM."""
    script = f"import pytest_microtvm.{module}, sys; print(*sys.modules, sep='\\n')"
    root = str(PACKAGE.parent)
    output = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=root
    ).stdout
    assert absent & set(output.split()) == set()


def test_the_map_of_rooms_is_that_of_the_code() -> None:
    """docs/architecture.md, import-linter and the package name the same rooms in the same rows."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    documented: dict[int, set[str]] = {}
    for row, room in re.findall(r"^\| (\d+) \| `(\w+)` \|", text, re.MULTILINE):
        documented.setdefault(int(row), set()).add(room)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    checked = [set(layer.split(" : ")) for layer in contract["layers"]]
    assert [documented[row] for row in sorted(documented)] == checked
    rooms = {path.stem for path in PACKAGE.glob("[a-z]*") if path.name != "py.typed"}
    assert set.union(*checked) | set(contract["exhaustive_ignores"]) == rooms


def test_no_file_is_too_long() -> None:
    """A file that does not fit one head is two."""
    folders = (PACKAGE, ROOT / "tests", ROOT / "scripts", ROOT / "conftest_examples")
    suffixes = {".py", ".c", ".h", ".S"}
    paths = [p for folder in folders for p in folder.rglob("*") if p.suffix in suffixes]
    assert paths
    lines = {str(p.relative_to(ROOT)): len(p.read_text("utf-8").splitlines()) for p in paths}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
