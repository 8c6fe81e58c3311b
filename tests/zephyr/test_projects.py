"""What a project for Zephyr is made of, and what its options do; no Zephyr is needed for that."""

from __future__ import annotations

import importlib
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from zephyr_sample import sample_text

from pytest_microtvm.boards import load_boards
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError
from pytest_microtvm.project import build_project, generate_project, platform_directory, server
from pytest_microtvm.project.client import ProjectAPIClient
from pytest_microtvm.project.server.archive import GraphCounts
from tests.boards import with_settings
from tests.contract.libraries import DOUBLE

LISTED = (
    *("b_u585i_iot02a", "esp32c3_devkitm", "mimxrt1050_evk", "mps2_an385", "mps2_an521"),
    *("mps3_an547", "native_sim", "nrf52840dk", "nrf5340dk", "nucleo_f746zg", "nucleo_l4r5zi"),
    *("qemu_cortex_m0", "qemu_cortex_m3", "qemu_cortex_r5", "qemu_riscv32", "qemu_riscv64"),
    *("qemu_x86", "rpipico", "stm32f746g_disco"),
)


@pytest.fixture(autouse=True)
def no_zephyr(monkeypatch):
    monkeypatch.delenv("ZEPHYR_BASE", raising=False)


def generate(directory: Path, name: str = "mps2_an385", **options: Any) -> Path:
    board = load_boards()[name].on("zephyr")
    if "kconfig" in options:
        board = with_settings(board, kconfig=options.pop("kconfig"))
    definition = directory / "board.json"
    definition.write_text(board.to_json())
    project = directory / "project"
    generate_project(
        platform_directory("zephyr"),
        DOUBLE.write(directory / "model.tar"),
        project,
        {"board": name, "board_definition": str(definition), **options},
        Deadline(30),
    )
    return project


def settings_of(project: Path) -> list[str]:
    return (project / "prj.conf").read_text().splitlines()


def test_all_listed_boards_have_a_table():
    served = {name for name, board in load_boards().items() if "zephyr" in board.platforms}
    assert served == set(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_a_project_for_each_board(tmp_path, name):
    project = generate(tmp_path, name)
    for file in ("CMakeLists.txt", "Kconfig", "project.cmake", "sample.yaml", "src/main.c"):
        assert (project / file).is_file(), file
    assert (project / "runtime" / "zephyr" / "module.yml").is_file()
    lines = settings_of(project)
    assert "CONFIG_MICROTVM=y" in lines
    cpu = load_boards()[name].cpu
    assert ("CONFIG_FPU=y" in lines) is (cpu.fpu != "")


def test_options_reach_the_settings(tmp_path):
    archive = tmp_path / "extra.tar"
    (tmp_path / "more.c").write_text("int more;\n")
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "more.c", "src/more.c")
    project = generate(
        tmp_path,
        kconfig=["CONFIG_OWN=y"],
        config_main_stack_size=12345,
        extra_kconfig=["CONFIG_DEBUG=y", "CONFIG_X=1"],
        extra_files_tar=str(archive),
        compile_definitions=["-DX=a;b"],
        warning_as_error=True,
    )
    lines = settings_of(project)
    assert lines[-4:] == [
        "CONFIG_MAIN_STACK_SIZE=12345",
        "CONFIG_OWN=y",
        "CONFIG_DEBUG=y",
        "CONFIG_X=1",
    ]
    assert (project / "src" / "more.c").read_text() == "int more;\n"
    cmake = (project / "project.cmake").read_text()
    assert 'set(MICROTVM_DEFINITIONS "X=a\\;b")' in cmake
    assert '"-Werror"' in cmake


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"use_fvp": True, "arm_fvp_path": "/no/FVP"}, "/no/FVP is not installed"),
        ({"use_fvp": True, "arm_fvp_path": "true"}, "firmware is not run on it"),
        ({"cmsis_path": "/no/cmsis"}, "/no/cmsis holds no CMSIS: there is none of CMSIS/Core"),
        ({"extra_files_tar": "/no/such.tar"}, "extra_files_tar: /no/such.tar cannot be unpacked"),
    ],
)
def test_options_that_are_refused_leave_nothing(tmp_path, options, expected):
    with pytest.raises((BuildError, ConfigError), match=expected):
        generate(tmp_path, **options)
    assert not (tmp_path / "project").exists()


def test_the_pool_is_as_large_as_wanted_and_as_needed():
    # Each platform has a module of this name.
    module = importlib.import_module("pytest_microtvm.platforms.zephyr.microtvm_api_server")
    handler = module.Zephyr(str(platform_directory("zephyr") / "microtvm_api_server.py"))
    graph = GraphCounts(nodes=1, entries=2, steps=1, arguments=2, widest_step=2)
    model = server.ModelMetadata("m", 1000, 0, 2, 100, graph=graph)
    handler._given = {"workspace_size_bytes": 100_000}
    values = handler.executor_values(model, "host_driven")
    assert values["MICROTVM_POOL_BYTES"] == "100000u"
    assert handler.executor_values(model, "graph")["MICROTVM_POOL_BYTES"] == "0u"
    handler._given = {"workspace_size_bytes": 4}
    with pytest.raises(server.OptionError, match="workspace_size_bytes is 4, but m needs"):
        handler.executor_values(model, "host_driven")


def test_the_headers_of_cmsis_are_found(tmp_path):
    folder = tmp_path / "cmsis" / "CMSIS" / "NN" / "Include"
    folder.mkdir(parents=True)
    project = generate(tmp_path, cmsis_path=str(tmp_path / "cmsis"))
    assert f'set(MICROTVM_INCLUDES "{folder}")' in (project / "project.cmake").read_text()


def test_extra_files_stay_in_the_project(tmp_path):
    archive = tmp_path / "extra.tar"
    (tmp_path / "x").touch()
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "x", "../x")
    with pytest.raises(BuildError, match="a member that is not allowed"):
        generate(tmp_path, extra_files_tar=str(archive))


def test_microtvms_options_are_there():
    with ProjectAPIClient(platform_directory("zephyr"), Deadline(30)) as client:
        options = {option.name: option for option in client.info.options}
    assert {
        *("board", "project_type", "west_cmd", "zephyr_base", "config_main_stack_size"),
        *("extra_files_tar", "cmsis_path", "compile_definitions", "warning_as_error", "verbose"),
        *("gdbserver_port", "serial_number", "workspace_size_bytes", "use_fvp", "arm_fvp_path"),
        *("toolchain_variant", "cross_compile", "extra_kconfig"),
    } <= set(options)
    assert options["board"].required == ("generate_project",)
    assert {"host_driven", "aot_standalone_demo", "mlperftiny"} <= set(
        options["project_type"].choices or ()
    )
    assert options["config_main_stack_size"].type == "int"
    assert all(option.help for option in options.values())


def test_a_build_without_zephyr_is_one_line_with_the_cure(tmp_path, monkeypatch):
    project = generate(tmp_path)
    with pytest.raises(BuildError) as caught:
        build_project(project, {}, Deadline(30))
    assert caught.value.message == "no Zephyr is named: ZEPHYR_BASE is not set"
    assert "ZEPHYR_BASE" in caught.value.cure
    assert "\n" not in str(caught.value)
    with pytest.raises(BuildError, match="is no Zephyr tree"):
        build_project(project, {"zephyr_base": str(tmp_path)}, Deadline(30))


def test_missing_tools_are_named_with_their_cure(tmp_path, monkeypatch, standin):
    project = generate(tmp_path)
    options = {"zephyr_base": str(standin)}
    for missing, cure in (
        ("west", "pip install west"),
        ("dtc", "apt-get install device-tree-compiler"),
        ("ninja", "apt-get install ninja-build"),
    ):
        folder = tmp_path / missing
        folder.mkdir()
        for name in ("cmake", "ninja", "dtc", "west", "git", "arm-none-eabi-gcc", "python3", "sh"):
            if name != missing:
                (folder / name).write_text("#!/bin/sh\nexit 1\n")
                (folder / name).chmod(0o755)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(folder))
            with pytest.raises(BuildError) as caught:
                build_project(project, options, Deadline(30))
        assert caught.value.message == f"{missing} is not installed"
        assert caught.value.cure == f"install it: {cure}"


def test_a_board_that_zephyr_lacks_is_answered_with_the_nearest(tmp_path, standin):
    project = generate(tmp_path, "qemu_riscv32")
    with pytest.raises(BuildError, match=r"has no board qemu_riscv32"):
        build_project(project, {"zephyr_base": str(standin)}, Deadline(60))


def test_a_c_library_without_math_functions_is_refused(tmp_path, standin):
    project = generate(tmp_path, extra_kconfig=["CONFIG_MINIMAL_LIBC=y"])
    with pytest.raises(BuildError, match="which Zephyr's minimal C library lacks"):
        build_project(project, {"zephyr_base": str(standin)}, Deadline(60))


def test_twister_runs_standalone_projects_and_builds_others(tmp_path):
    (test,) = yaml.safe_load(sample_text("standalone", "mps2/an385"))["tests"].values()
    assert test["harness_config"] == {"type": "one_line", "regex": ["done"]}
    assert test["platform_allow"] == "mps2/an385"
    (test,) = yaml.safe_load((generate(tmp_path) / "sample.yaml").read_text())["tests"].values()
    assert test["build_only"] is True
    assert test["platform_allow"] == "mps2/an385"
