"""How a project is built: which compilers, what is kept and shared, and how failures are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from zephyr_build import (
    Build,
    check_modules,
    copy_results,
    localized_build,
    memory_kind,
    python_of,
    synchronize,
)
from zephyr_toolchain import choose_toolchain
from zephyr_tree import ZephyrTree

from pytest_microtvm.project import server
from tests.zephyr.test_tree import add_board, make_tree

TABLE = {"prefix": "", "flags": [], "includes": [], "libraries": [], "kconfig": [], "install": ""}
VARIABLES = ("ZEPHYR_TOOLCHAIN_VARIANT", "ZEPHYR_SDK_INSTALL_DIR", "CROSS_COMPILE")


def board_of(arch: str = "arm", **toolchain: object) -> dict[str, object]:
    zephyr = {"toolchain": {**TABLE, **toolchain}, "modules": []}
    return {"name": "acme", "cpu": {"arch": arch}, "zephyr": zephyr}


@pytest.fixture
def no_toolchain(tmp_path, monkeypatch):
    """No variable names compilers, no SDK is installed, and there is one compiler."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("zephyr_toolchain._SDK_FOLDERS", (str(tmp_path),))
    monkeypatch.setenv("HOME", str(tmp_path))
    compiler = tmp_path / "bin" / "arm-acme-gcc"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(compiler.parent))
    return tmp_path


def make_sdk(folder: Path) -> Path:
    sdk = folder / "zephyr-sdk-0.16.0"
    sdk.mkdir()
    (sdk / "sdk_version").write_text("0.16.0\n")
    return sdk


def test_without_an_sdk_it_is_the_boards_compiler(no_toolchain):
    chosen = choose_toolchain(board_of(prefix="arm-acme-"), {}, (3, 3, 0))
    assert chosen.variant == "cross-compile"
    assert chosen.compiler == str(no_toolchain / "bin" / "arm-acme-gcc")
    assert "CONFIG_NEWLIB_LIBC=y" in chosen.settings
    assert f'CROSS_COMPILE "{no_toolchain}/bin/arm-acme-"' in chosen.cmake_text()
    with pytest.raises(server.ProjectError) as caught:
        choose_toolchain(board_of(), {}, (3, 3, 0))
    assert "no compiler is known for board acme" in caught.value.data["message"]
    assert "install the Zephyr SDK" in caught.value.data["cure"]


def test_an_sdk_comes_before_the_boards_compiler(no_toolchain):
    make_sdk(no_toolchain)
    assert choose_toolchain(board_of(prefix="arm-acme-"), {}, (3, 3, 0)).variant == "zephyr"
    assert choose_toolchain(board_of(), {}, (4, 0, 0)).settings == ()  # picolibc, which is whole
    options = {"toolchain_variant": "cross-compile", "cross_compile": "/x/bin/arm-other-"}
    chosen = choose_toolchain(board_of(), options, (3, 3, 0))
    assert (chosen.prefix, chosen.compiler) == ("/x/bin/arm-other-", None)


def test_a_named_sdk_that_is_not_there_is_told(no_toolchain, monkeypatch):
    monkeypatch.setenv("ZEPHYR_TOOLCHAIN_VARIANT", "zephyr")
    with pytest.raises(server.ProjectError, match="SDK is not installed"):
        choose_toolchain(board_of(prefix="arm-acme-"), {}, (3, 3, 0))


def test_cross_compile_is_for_one_architecture(no_toolchain, monkeypatch):
    """CROSS_COMPILE of the environment does not compile for the boards of another one."""
    monkeypatch.setenv("CROSS_COMPILE", "/usr/bin/riscv64-acme-")
    chosen = choose_toolchain(board_of(prefix="arm-acme-"), {}, (3, 3, 0))
    assert chosen.prefix.endswith("/bin/arm-acme-")


def test_a_c_library_of_its_own_is_told_to_cmake(no_toolchain):
    board = board_of("riscv32", prefix="arm-acme-", includes=["/a b"], libraries=["/c$d.a"])
    text = choose_toolchain(board, {}, (3, 3, 0)).cmake_text()
    assert 'list(APPEND MICROTVM_LIBC_INCLUDES "/a b")' in text
    assert 'list(APPEND MICROTVM_LIBC "/c\\$d.a")' in text


@pytest.fixture
def build(tmp_path):
    base = make_tree(tmp_path)
    add_board(base, "arm", "acme_m3")
    project = tmp_path / "project"
    (project / "build" / "zephyr").mkdir(parents=True)
    (project / "build" / "zephyr" / ".config").write_text(
        "CONFIG_SRAM_SIZE=64\nCONFIG_FLASH_SIZE=256\n"
    )
    return Build(project, ZephyrTree.open(str(base)), "acme_m3")


OVERFLOW = "ld: region `RAM' overflowed by 1000 bytes\nld: region `RAM' overflowed by 1500 bytes\n"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (OVERFLOW, "firmware too large: needs 67036 bytes of ram, acme_m3 has 65536"),
        ("ld: region `FLASH' overflowed by 4 bytes", "needs 262148 bytes of flash, acme_m3 has"),
        ("ModuleNotFoundError: No module named 'elftools'", "need the Python module elftools"),
        (
            "src/main.c:3:1: error: expected ';'\n",
            "does not build: src/main.c:3:1: error: expected",
        ),
        ("a.c:(.text+0x4): undefined reference to `expf'", "undefined reference to `expf'"),
        ("warning: x\nerror: Aborting due to Kconfig warnings\n", "error: Aborting due to Kconfig"),
        ("CMake Error at a.cmake:3 (message):\n  The thing is wrong.\n", "The thing is wrong."),
        ("No board named 'acme_m3' found", "has no board acme_m3"),
        ("?", "the firmware does not build: the tools failed"),
    ],
)
def test_a_failure_is_one_line(build, output, expected):
    error = build._failure(output, build.project)
    assert expected in error.data["message"]
    assert error.data["details"] == output


def test_a_missing_python_module_is_told_with_its_cure(build):
    error = build._failure("ModuleNotFoundError: No module named 'pykwalify'", build.project)
    assert error.data["cure"].endswith(
        "-m pip install -r " + str(build.tree.base / "scripts" / "requirements.txt")
    )


@pytest.mark.parametrize(
    ("region", "kind"),
    [("FLASH", "flash"), ("ROM", "flash"), ("ROMSTART", "flash"), ("RAM", "ram"), ("DTCM", "ram")],
)
def test_regions_of_the_linker_are_of_a_kind(region, kind):
    assert memory_kind(region) == kind


def test_a_missing_module_is_told_with_its_cure(build, monkeypatch):
    monkeypatch.delenv("ZEPHYR_MODULES", raising=False)
    board = board_of("riscv32")
    check_modules(build.tree, board)
    board["zephyr"]["modules"] = ["hal_acme"]  # type: ignore[index]
    with pytest.raises(server.ProjectError) as caught:
        check_modules(build.tree, board)
    assert "module hal_acme is not there" in caught.value.data["message"]
    assert "west update hal_acme" in caught.value.data["cure"]
    with pytest.raises(server.ProjectError, match="module cmsis"):
        check_modules(build.tree, board_of("arm"))


def test_what_is_the_same_is_left_alone(tmp_path):
    project, target = tmp_path / "project", tmp_path / "target"
    (project / "src").mkdir(parents=True)
    (project / "build").mkdir()
    for name in ("src/main.c", "src/old.c", "prj.conf", "build/x", "model.tar", ".microtvm.json"):
        (project / name).write_text(name)
    synchronize(project, target)
    assert sorted(p.name for p in target.rglob("*") if p.is_file()) == [
        "main.c",
        "old.c",
        "prj.conf",
    ]
    before = (target / "prj.conf").stat().st_mtime_ns
    (project / "src" / "old.c").unlink()
    (project / "src" / "main.c").write_text("new")
    synchronize(project, target)
    assert (target / "prj.conf").stat().st_mtime_ns == before
    assert not (target / "src" / "old.c").exists()
    assert (target / "src" / "main.c").read_text() == "new"


def test_west_finds_a_build_that_has_moved(tmp_path):
    made = tmp_path / "made"
    (made / "zephyr").mkdir(parents=True)
    (made / "CMakeCache.txt").write_text(f"CMAKE_CACHEFILE_DIR:INTERNAL={made}\nX={made}/y\n")
    (made / "zephyr" / "runners.yaml").write_text(f"elf_file: {made}/zephyr/zephyr.elf\n")
    (made / "zephyr" / "zephyr.elf").write_text("elf")
    (made / "zephyr" / "libzephyr.a").write_text("no result")
    kept = tmp_path / "kept" / "build"
    copy_results(made, kept)
    assert not (kept / "zephyr" / "libzephyr.a").exists()
    folder = tmp_path / "folder"
    folder.mkdir()
    localized = localized_build(kept, folder)
    assert (localized / "zephyr" / "zephyr.elf").read_text() == "elf"
    text = (localized / "zephyr" / "runners.yaml").read_text()
    assert text == f"elf_file: {kept}/zephyr/zephyr.elf\n"
    assert str(made) not in (localized / "CMakeCache.txt").read_text()


def test_wests_python_is_known_by_its_first_line(tmp_path):
    script = tmp_path / "west"
    script.write_text("#!/opt/venv/bin/python3\nimport west\n")
    assert python_of(script) == "/opt/venv/bin/python3"
    script.write_text("#!/bin/sh\n")
    assert python_of(script) == ""
    assert python_of(tmp_path / "none") == ""
