"""The wheel, not the source tree: what is in it, and that it works from there."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import pytest_microtvm

pytest.importorskip("build", reason="build is missing: pip install -e .[dev]")
pytest.importorskip("hatchling", reason="hatchling is missing: pip install -e .[dev]")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the source tree, built without a network."""
    directory = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(directory),
    ]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True, timeout=120)
    (path,) = directory.iterdir()
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def dist_info(wheel: Path, name: str) -> str:
    folder = f"pytest_microtvm-{pytest_microtvm.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"{folder}/{name}").decode()


def test_every_file_of_the_package_is_in_the_wheel(names: set[str]) -> None:
    package = ROOT / "pytest_microtvm"
    in_tree = {
        str(path.relative_to(ROOT))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert in_tree - names == set()
    suffixes = {Path(name).suffix for name in in_tree}
    assert {".py", ".c", ".h", ".S", ".ld"} <= suffixes


def test_boards_are_in_the_wheel(names: set[str]) -> None:
    boards = {path.name for path in (ROOT / "boards").glob("*.toml")}
    assert {"host.toml", "qemu_x86.toml"} <= boards
    assert {f"pytest_microtvm/board_definitions/{board}" for board in boards} <= names


def test_nothing_else_is_in_the_wheel(names: set[str]) -> None:
    folders = {name.split("/")[0] for name in names}
    assert folders == {
        "pytest_microtvm",
        f"pytest_microtvm-{pytest_microtvm.__version__}.dist-info",
    }
    assert not [name for name in names if name.endswith((".pyc", ".o", ".elf"))]


def test_entry_points(wheel: Path) -> None:
    entry_points = configparser.ConfigParser()
    entry_points.read_string(dist_info(wheel, "entry_points.txt"))
    assert dict(entry_points["pytest11"]) == {"microtvm": "pytest_microtvm.face.plugin"}
    assert dict(entry_points["console_scripts"]) == {
        "microtvm": "pytest_microtvm.command.main:main"
    }


def test_metadata(wheel: Path) -> None:
    metadata: Message = Parser().parsestr(dist_info(wheel, "METADATA"))
    assert metadata["Name"] == "pytest-microtvm"
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in dist_info(wheel, "licenses/LICENSE")
    extras = metadata.get_all("Provides-Extra") or []
    assert {"onnx", "xdist", "dev"} <= set(extras)
    required = metadata.get_all("Requires-Dist") or []
    assert not [r for r in required if r.startswith("tensorflow")]


SCRIPT = """\
import sys

import pytest_microtvm as microtvm

verdict = microtvm.check(sys.argv[1], board="host")
print(verdict.report())
print(microtvm.__file__, verdict.passed)
unwanted = {"pytest", "_pytest", "pluggy"} & set(sys.modules)
sys.exit(f"imported: {unwanted}" if unwanted or not verdict.passed else 0)
"""


def test_a_short_script_gives_a_verdict_without_pytest(wheel: Path, tmp_path: Path) -> None:
    """The public API, from the installed package, with nothing prepared."""
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    model = ROOT / "conftest_examples" / "models" / "sine_int8.tflite"
    (tmp_path / "script.py").write_text(SCRIPT)
    result = subprocess.run(
        [sys.executable, "script.py", str(model)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(installed),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        },
        timeout=240,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == ("sine_int8.tflite on host by aot: tests passed, verdict match, check exact")
    assert lines[-1] == f"{installed / 'pytest_microtvm' / '__init__.py'} True"
    assert len(SCRIPT.splitlines()) <= 10


def test_the_wheel_works_from_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    """Boards and platforms are found beside the installed package, not in the source tree."""
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import pytest_microtvm; from pytest_microtvm import boards, project\n"
        "print(pytest_microtvm.__file__)\n"
        "for board in boards.load_boards().values():\n"
        "    if not board.is_only_real:\n"
        "        print(board.name, project.platform_directory(board.platform))\n"
    )
    command = [sys.executable, "-c", script, str(installed)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    file, *lines = output.stdout.splitlines()
    assert file.startswith(str(installed))
    found = dict(line.split(" ", 1) for line in lines)
    assert {"host", "qemu_x86"} <= set(found)
    assert all(path.startswith(str(installed)) for path in found.values())


def test_the_page_on_pypi_has_absolute_links_to_what_is_there(wheel: Path) -> None:
    page = dist_info(wheel, "METADATA")
    links = re.findall(r"\]\(([^)\s]+)\)", page)
    assert links
    for link in links:
        assert link.startswith("https://"), link
        _, found, path = link.partition("/main/")
        if found:
            assert (ROOT / path.partition("#")[0]).exists(), link


def test_pypi_is_told_where_everything_is(wheel: Path) -> None:
    urls = Parser().parsestr(dist_info(wheel, "METADATA")).get_all("Project-URL", [])
    assert {url.partition(",")[0] for url in urls} >= {"Documentation", "Source", "Changelog"}
