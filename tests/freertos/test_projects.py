"""What a project of the platform freertos holds, and how what is wrong is told."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.boards import Board, Cpu, load_boards
from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError
from pytest_microtvm.mlf.library import write_library
from pytest_microtvm.project import build_project, generate_project, platform_directory
from pytest_microtvm.project.platforms import load_platforms
from pytest_microtvm.project.support import ask_platform
from pytest_microtvm.session.console import Console
from pytest_microtvm.session.transport import ProjectTransport
from tests.boards import with_settings
from tests.contract.libraries import DOUBLE

SINE = Path(__file__).parents[2] / "conftest_examples" / "models" / "sine_int8.tflite"


def freertos(name: str = "mps2_an385") -> Board:
    return load_boards()[name].on("freertos")


def generate(
    folder: Path, board: Board | None = None, archive: Path | None = None, **options: Any
) -> Path:
    board = board or freertos()
    (folder / "board.json").write_text(board.to_json())
    project = folder / "project"
    generate_project(
        platform_directory("freertos"),
        archive or DOUBLE.write(folder / "model.tar"),
        project,
        {"board": board.name, "board_definition": str(folder / "board.json"), **options},
        Deadline(30),
    )
    return project


def test_a_project_is_baremetals_with_a_kernel(tmp_path):
    project = generate(tmp_path)
    assert "configSUPPORT_STATIC_ALLOCATION 1" in (project / "src/FreeRTOSConfig.h").read_text()
    assert "xTaskCreateStatic" in (project / "src/kernel.c").read_text()
    assert "xStreamBufferCreateStatic" in (project / "src/uart.c").read_text()
    assert "SysTick_Handler" in (project / "src/cortex_m/vectors.c").read_text()
    assert "MICROTVM_TICK_CLOCK_HZ 25000000u" in (project / "src/microtvm_board.h").read_text()
    assert "FREERTOS_PORT := ARM_CM3\n" in (project / "project.mk").read_text()
    assert (project / "src/uart/cmsdk.c").is_file()
    assert "FREERTOS_PATH=FOLDER" in (project / "README").read_text()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tick_clock_hz": None}, "key freertos.tick_clock_hz of board mps2_an385 is missing"),
        ({"uart": {"driver": "cmsdk", "base": 1}}, "platform freertos needs uart.interrupt"),
        ({"uart": {"driver": "drum", "base": 1}}, "platform freertos has no UART driver drum"),
        ({"heap_bytes": 1}, "unknown key freertos.heap_bytes"),
    ],
)
def test_tables_that_it_refuses(tmp_path, change, expected):
    with pytest.raises((BuildError, ConfigError), match=expected):
        generate(tmp_path, with_settings(freertos(), **change))


def test_hardware_that_it_cannot_serve(tmp_path):
    other = dataclasses.replace(freertos(), cpu=Cpu("arm", "cortex-a9"))
    with pytest.raises((BuildError, ConfigError), match="knows no port for cortex-a9"):
        generate(tmp_path, other)
    watchdog = {"driver": "watchdog", "base": 1, "hz": 1}
    with pytest.raises((BuildError, ConfigError), match="needs the timer driver mtime"):
        generate(tmp_path, with_settings(freertos("qemu_riscv32"), timer=watchdog))


def test_without_freertos_the_board_is_not_available_and_nothing_is_built(tmp_path, monkeypatch):
    monkeypatch.delenv("FREERTOS_PATH", raising=False)
    platform = load_platforms()["freertos"]
    (answer,) = ask_platform(platform, [freertos()], Deadline(30), identify=True)
    assert {tool.name: tool.path for tool in answer.tools}["FreeRTOS"] is None
    assert answer.toolchain is None
    with pytest.raises(BuildError) as caught:
        build_project(generate(tmp_path), {}, Deadline(30))
    assert caught.value.message == "no FreeRTOS is named: FREERTOS_PATH is not set"
    assert "FREERTOS_PATH" in caught.value.cure


def test_another_kernel_is_another_toolchain(tmp_path, standin, monkeypatch):
    platform = load_platforms()["freertos"]
    (first,) = ask_platform(platform, [freertos()], Deadline(30), identify=True)
    copy = tmp_path / "kernel"
    subprocess.run(["cp", "-r", str(standin), str(copy)], check=True)
    (copy / "tasks.c").write_text("/* another one */")
    monkeypatch.setenv("FREERTOS_PATH", str(copy))
    (second,) = ask_platform(platform, [freertos()], Deadline(30), identify=True)
    assert first.toolchain is not None
    assert second.toolchain not in (None, first.toolchain)


def test_a_standalone_project_prints_its_outputs_and_builds_by_make(tmp_path, standin):
    archive = tmp_path / "model.tar"
    write_library(archive, compile_to_files(SINE, CompileOptions()))
    project = generate(tmp_path, archive=archive, project_type="standalone", warning_as_error=True)
    subprocess.run(["make", "-s"], check=True, cwd=project)  # FREERTOS_PATH is in the environment
    with Console(ProjectTransport(project, {})) as console:
        console.open()
        assert (console.read_line(20.0) or "").startswith("y: ")
        assert console.read_line(20.0) == "done"


def test_the_option_counts_more_than_the_environment(tmp_path, standin):
    project = generate(tmp_path, freertos_path=str(tmp_path))
    with pytest.raises(BuildError, match="in which there is no FreeRTOS kernel"):
        build_project(project, {}, Deadline(60))
