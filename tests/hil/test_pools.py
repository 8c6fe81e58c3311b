"""Models with several pools of memory in firmware of a person's own, on emulated boards."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

import pytest_microtvm as microtvm
from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.compiler.bundle import bundle_files
from pytest_microtvm.mlf.library import (
    ModelLibrary,
    extract_library,
    open_libraries,
    open_library,
    write_library,
)
from scripts.benchmarks.networks import NETWORKS
from tests.unit.compiler.pool_program import (
    ALLOCATOR,
    HOST_PORT,
    INTERNAL,
    LINKER,
    link_on_host,
    main_of,
)

KEYWORD = Path(__file__).parents[2] / "conftest_examples" / "models" / "keyword_int8.tflite"
TIMEOUT_S = 60.0

BOARD_PORT = """\
#include <string.h>
#include <microtvm/platform.h>
#include "board.h"
#define PORT_START() TVMPlatformInitialize()
static void Print(const char *text) { UartWrite((const uint8_t *)text, strlen(text)); }
"""

REGION = """
[[memory]]
name = "dtcm"
kind = "ram"
origin = 0x2100_0000
bytes = 0x0000_2000

"""
"""More memory of the board: the pool of this name goes there."""
PLACES = {LINKER: "mps2_an386_dtcm", INTERNAL: "mps2_an386", ALLOCATOR: "qemu_riscv32"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small network, and two as large as keyword spotting and person detection are."""
    folder = tmp_path_factory.mktemp("models")
    paths = [KEYWORD]
    for name, network in (("kws", "keyword"), ("vww", "person")):
        paths.append(folder / f"{name}.tflite")
        paths[-1].write_bytes(NETWORKS[network]())
    return paths


def memory_of(internal: bool) -> microtvm.Memory:
    """Two pools, of which the first is too small for any of the models."""
    pool = microtvm.WorkspacePoolInfo
    return microtvm.Memory((pool("dtcm", 4096, internal=internal), pool("sram", internal=internal)))


def together(
    models: list[Path], memory: microtvm.Memory, folder: Path
) -> tuple[tuple[ModelLibrary, ...], Path]:
    """The models in one archive, and where it was unpacked."""
    libraries = []
    for model in models:
        path = folder / f"{model.stem}.tar"
        write_library(path, compile_to_files(model, CompileOptions(memory=memory)))
        libraries.append(open_library(path))
    write_library(folder / "all.tar", bundle_files("all", libraries))
    extract_library(folder / "all.tar", folder / "all")
    return open_libraries(folder / "all.tar"), folder / "all"


@pytest.fixture(scope="module")
def expected(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the program prints with one pool, on this computer."""
    folder = tmp_path_factory.mktemp("one")
    libraries, root = together(models, microtvm.Memory(), folder)
    return run_here(libraries, root, folder)


def run_here(libraries: tuple[ModelLibrary, ...], root: Path, folder: Path) -> list[str]:
    (folder / "port.h").write_text(HOST_PORT)
    (folder / "main.c").write_text(main_of(libraries, shared="all"))
    program = link_on_host(root, folder)
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("placement", PLACES)
def test_three_models_take_turns_in_two_pools(
    placement: str, models: list[Path], expected: list[str], tmp_path: Path
) -> None:
    libraries, root = together(models, memory_of(placement == INTERNAL), tmp_path)
    for library in libraries:
        fast, slow = library.pools
        assert 0 < fast.size_bytes <= 4096 == fast.limit_bytes
        assert fast.bound_bytes == fast.size_bytes
        assert slow.bound_bytes == slow.size_bytes > 0
    if placement != INTERNAL:
        assert run_here(libraries, root, tmp_path) == expected
    boards = tmp_path / "boards"
    boards.mkdir()
    text = (Path(microtvm.load_boards()["mps2_an386"].path or "")).read_text()
    text = text.replace('name = "mps2_an386"', f'name = "{PLACES[LINKER]}"')
    (boards / f"{PLACES[LINKER]}.toml").write_text(
        text.replace("[emulator]", f"{REGION}[emulator]")
    )
    environment = microtvm.Environment(cache_dir=tmp_path / "cache", boards_dirs=[boards])
    project = microtvm.create_project(
        tmp_path / "project",
        tmp_path / f"{models[0].stem}.tar",
        board=PLACES[placement],
        environment=environment,
    )
    for part in ("include", "src"):
        for path in (root / "codegen/host" / part).iterdir():
            if not path.name.endswith(("_model.c", "_graph.c")):
                (project.directory / "codegen/host" / part / path.name).write_bytes(
                    path.read_bytes()
                )
    (project.directory / "src" / "port.h").write_text(BOARD_PORT)
    (project.directory / "src" / "main.c").write_text(
        main_of(libraries, placement=placement, shared="" if placement == INTERNAL else "all")
    )
    project.build()
    assert project.elf is not None
    if placement == LINKER:
        symbols = subprocess.run(
            ["arm-none-eabi-nm", project.elf], capture_output=True, text=True, check=True
        ).stdout
        assert re.search(r"^21000000 b memory_dtcm$", symbols, re.M)
        assert re.search(r"^20\w{6} b memory_sram$", symbols, re.M)
    assert boot(project) == expected


def boot(project: microtvm.Project) -> list[str]:
    """Start the emulator; what the firmware prints, to the line with its status."""
    emulator = project.board.emulator
    assert emulator is not None
    command = [emulator.program, "-machine", emulator.machine, *emulator.arguments]
    command += ["-display", "none", "-nodefaults", "-serial", "stdio", "-kernel", str(project.elf)]
    received = b""
    end = time.monotonic() + TIMEOUT_S
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as child:
        assert child.stdout is not None
        try:
            while not re.search(rb"^(status \d+|failed)\n", received, re.M):
                assert select.select([child.stdout], [], [], end - time.monotonic())[0], received
                block = os.read(child.stdout.fileno(), 65536)
                assert block, received
                received += block
        finally:
            child.kill()
    return received.decode().splitlines()
