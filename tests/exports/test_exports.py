"""Exports, each built by its ecosystem's own tool where that can be had."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pytest_microtvm import extensions
from pytest_microtvm.boards import load_boards
from pytest_microtvm.command.main import main
from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.compiler.pools import ConstantPoolInfo, Memory, WorkspacePoolInfo
from pytest_microtvm.errors import BuildError, ConfigError
from pytest_microtvm.exports import RUNTIMES, export_model
from pytest_microtvm.extensions import EXPORTS
from pytest_microtvm.mlf.library import ModelLibrary, open_library, write_library
from tests.contract.running import need_tools
from tests.exports.conftest import MODELS
from tests.operators.running import run_litert
from tests.unit.compiler import external_kernels

FORMATS = EXPORTS.names()
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wcast-qual", "-Werror"]
TIMEOUT_S = 300
NAME = "tvmgen_keyword_int8"

Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path, keyword: ModelLibrary) -> Export:
    def make(name: str, library: ModelLibrary = keyword, **options: Any) -> Path:
        return export_model(library, tmp_path / f"tvmgen_{library.name}", name, **options)

    return make


def run(*command: str | Path, cwd: Path) -> str:
    """What a program prints; it has to succeed."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def need(program: str, install: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is missing; install it with: {install}")
    return path


def scores() -> str:
    """What the example prints, by the model's own interpreter."""
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")
    elements = ((37 * np.arange(640) + 11) % 256 - 128).astype(np.int8)
    model = (MODELS / "keyword_int8.tflite").read_bytes()
    (outputs,) = run_litert(model, [[elements.reshape(1, 32, 20, 1)]])
    return f"scores: {' '.join(map(str, outputs[0].reshape(-1)))}\ndone\n"


# What is common.


@pytest.mark.parametrize("name", FORMATS)
def test_every_export_says_what_it_is(export: Export, name: str) -> None:
    runtime = "none" if name == "stm32" else "aot"
    folder = export(name, version="2.3.4", runtime=runtime)
    readme = (folder / "README.md").read_text()
    facts = json.loads((folder / "model.json").read_text())
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert (facts["version"], facts["format"], facts["runtime"]) == ("2.3.4", name, runtime)
    (source,), (result,) = facts["inputs"], facts["outputs"]
    assert (source["bytes"], source["zero_point"], result["scale"]) == (640, -11, 1 / 256)
    for text in ("2.3.4", "0.0233461112", "1x32x20x1", "640", str(facts["constants_bytes"])):
        assert text in readme


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_export_is_the_same_every_time(
    tmp_path: Path, keyword: ModelLibrary, name: str, runtime: str
) -> None:
    if name == "stm32" and runtime != "none":
        with pytest.raises(ConfigError, match="its own runtime, and takes no"):
            export_model(keyword, tmp_path / "1", name, runtime=runtime)
        return
    first, second = (
        export_model(keyword, tmp_path / number, name, runtime=runtime) for number in "12"
    )
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert len(files) >= 4
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes(), path
    everything = b"".join((first / path).read_bytes() for path in files)
    assert str(tmp_path).encode() not in everything


@pytest.mark.parametrize("compiler", [["gcc", "-std=c99"], ["g++", "-std=c++11", "-xc++"]])
@pytest.mark.parametrize("runtime", ["none", "aot"])
def test_code_and_example_compile_without_a_warning(
    export: Export, compiler: list[str], runtime: str
) -> None:
    folder = export("c", runtime=runtime)
    if runtime == "none":
        files = [*folder.glob("src/*.c"), *folder.glob("examples/*/*.c")]
    else:  # the runtime is C11
        files = list(folder.glob("src/*.c"))
    assert len(files) >= 3
    run(*compiler, *STRICT, "-O1", "-Iinclude", "-c", *files, cwd=folder)


@pytest.mark.parametrize("runtime", ["none", "aot", "graph"])
def test_the_example_prints_what_the_interpreter_says(export: Export, runtime: str) -> None:
    folder = export("c", runtime=runtime)
    standard = "-std=c99" if runtime == "none" else "-std=c11"
    sources = [*folder.rglob("*.c")]
    run("gcc", standard, "-O1", *STRICT, "-Iinclude", *sources, "-lm", "-o", "program", cwd=folder)
    assert run("./program", cwd=folder) == scores()
    symbols = run("nm", "program", cwd=folder)
    assert not re.search(r" U (malloc|calloc|realloc|free)\b", symbols)
    assert ("MicroTVM" in symbols) == (runtime != "none")


def test_the_stack_of_each_kernel_is_told(export: Export, keyword: ModelLibrary) -> None:
    board = load_boards()["mps2_an386"]
    need_tools(board)
    compiler = ("arm-none-eabi-gcc", *board.settings["toolchain"]["flags"])
    folder = export("c", compiler=compiler)
    stack = json.loads((folder / "model.json").read_text())["stack"]
    assert stack["kernels"].keys() == {kernel.name for kernel in keyword.kernels}
    assert max(stack["kernels"].values()) < stack["run_bytes"] < 1024
    header = (folder / "include" / f"{NAME}_stack.h").read_text()
    assert f"#define {NAME.upper()}_STACK_BYTES {stack['run_bytes']}\n" in header
    for kernel, size in stack["kernels"].items():
        assert f"#define {kernel.upper()}_STACK_BYTES {size}\n" in header
    assert "mcpu=cortex-m4" in stack["compiler"]
    with pytest.raises(BuildError, match="no-such-gcc cannot be run"):
        export("c", compiler=("no-such-gcc",), force=True)
    assert (folder / "model.json").is_file()


def test_folders_are_not_overwritten_by_accident(export: Export, tmp_path: Path) -> None:
    folder = export("c")
    with pytest.raises(ConfigError, match="exists already"):
        export("c")
    (folder / "old").touch()
    assert not (export("make", force=True) / "old").exists()
    (folder / "model.json").unlink()
    with pytest.raises(ConfigError, match="holds no export"):
        export("c", force=True)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "rtos"}, "no runtime 'rtos'.*none, aot, graph, rpc"),
        ({"version": "1.0"}, "'1.0' is no version"),
    ],
)
def test_wrong_wishes_are_refused(export: Export, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        export("c", **options)
    with pytest.raises(ConfigError, match="no export format 'iar'"):
        export("iar")


# One ecosystem after the other.


def test_an_archive_is_the_same_archive(export: Export, keyword: ModelLibrary) -> None:
    folder = export("mlf")
    assert open_library(folder / "keyword_int8.tar").sha256 == keyword.sha256


def test_cmake_builds_runs_and_installs_it(export: Export, tmp_path: Path) -> None:
    need("cmake", "apt-get install cmake")
    folder = export("cmake")
    run("cmake", "-S", ".", "-B", "build", cwd=folder)
    run("cmake", "--build", "build", cwd=folder)
    run("ctest", "--test-dir", "build", cwd=folder)
    assert run(f"build/{NAME}_example", cwd=folder) == scores()
    run("cmake", "--install", "build", "--prefix", tmp_path / "installed", cwd=folder)
    user = tmp_path / "user"
    user.mkdir()
    shutil.copyfile(folder / "examples" / "run" / "main.c", user / "main.c")
    (user / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(user LANGUAGES C)\n"
        f"find_package({NAME} 1.0 REQUIRED)\nadd_executable(user main.c)\n"
        f"target_link_libraries(user PRIVATE {NAME})\n"
    )
    run("cmake", f"-DCMAKE_PREFIX_PATH={tmp_path / 'installed'}", "-B", "build", cwd=user)
    run("cmake", "--build", "build", cwd=user)
    assert run("build/user", cwd=user) == scores()


def test_make_builds_the_library_for_another_cpu(export: Export) -> None:
    need("make", "apt-get install make")
    need("arm-none-eabi-gcc", "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi")
    folder = export("make")
    assert run("make", "--silent", "run", cwd=folder).endswith(scores())
    cross = ["CC=arm-none-eabi-gcc", "AR=arm-none-eabi-ar", "CFLAGS=-O2 -mcpu=cortex-m4 -mthumb"]
    run("make", "library", "BUILD=m4", *cross, cwd=folder)
    assert "Tag_CPU_name" in run("arm-none-eabi-readelf", "-A", f"m4/lib{NAME}.a", cwd=folder)


def test_the_rpc_server_is_served_over_standard_input(export: Export) -> None:
    need("make", "apt-get install make")
    folder = export("make", runtime="rpc")
    run("make", "CFLAGS=-O1 -Wall -Wextra -Werror", cwd=folder)
    done = subprocess.run(
        ["build/run"], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"\xfe")  # the device says that it has started


def build_sketch(sketch: Path, libraries: Path, build: Path) -> Path:
    """Build a sketch with Debian's packages; the program."""
    builder = need("arduino-builder", "apt-get install arduino-builder arduino-core-avr")
    build.mkdir()
    run(
        builder,
        *("-compile", "-hardware", "/usr/share/arduino/hardware"),
        *("-hardware", "/usr/share/arduino-builder", "-tools", "/usr/share/arduino-builder"),
        *("-tools", "/usr/bin", "-libraries", libraries),
        *("-fqbn", "arduino:avr:mega:cpu=atmega2560", "-warnings", "none"),
        # Debian's core asks for what its compiler has in C only.
        *("-prefs", "compiler.cpp.extra_flags=-DDECIMAL_DIG=__DECIMAL_DIG__"),
        *("-build-path", build, sketch),
        cwd=libraries,
    )
    return build / f"{sketch.name}.elf"


@pytest.mark.parametrize("runtime", ["none", "aot"])
def test_arduino_builder_builds_the_sketch(
    export: Export, sine: ModelLibrary, tmp_path: Path, runtime: str
) -> None:
    folder = export("arduino-library", library=sine, runtime=runtime)
    sketch = folder / "examples" / "Run" / "Run.ino"
    assert build_sketch(sketch, tmp_path, tmp_path / "build").is_file()


def test_two_models_go_into_one_sketch(
    sine: ModelLibrary, sine_float: ModelLibrary, tmp_path: Path
) -> None:
    """Each as the file that Arduino's IDE takes, with the runtime, of which one is linked."""
    libraries = tmp_path / "libraries"
    for library in (sine, sine_float):
        folder = export_model(library, tmp_path / library.name, "arduino-zip", runtime="aot")
        zipfile.ZipFile(folder / f"tvmgen_{library.name}-1.0.0.zip").extractall(libraries)
    sketch = tmp_path / "both" / "both.ino"
    sketch.parent.mkdir()
    calls = "".join(
        f"  Serial.println((uint16_t)(uintptr_t)tvmgen_{each.name}_run);\n"
        f"  Serial.println(tvmgen_{each.name}_model.name);\n"
        for each in (sine, sine_float)
    )
    sketch.write_text(
        f"#include <tvmgen_{sine.name}.h>\n#include <tvmgen_{sine_float.name}.h>\n"
        "#include <microtvm/aot_executor.h>\n"
        f'extern "C" {{ extern const MicroTVMModel tvmgen_{sine.name}_model, '
        f"tvmgen_{sine_float.name}_model; }}\n"
        "static MicroTVMExecutor one;\nvoid setup() {\n"
        f"  (void)MicroTVMAotExecutorInit(&one, &tvmgen_{sine.name}_model, NULL, 0, NULL, 0);\n"
        f"{calls}}}\nvoid loop() {{}}\n"
    )
    assert build_sketch(sketch, libraries, tmp_path / "build").is_file()


def test_a_zephyr_module_has_the_keys_of_one(export: Export) -> None:
    folder = export("zephyr-module")
    module = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
    assert module["name"] == NAME
    assert (folder / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    kconfig = (folder / module["build"]["kconfig"]).read_text()
    (symbol,) = re.findall(r"^config (\w+)$", kconfig, re.M)
    assert f"CONFIG_{symbol}=y" in (folder / "samples" / "run" / "prj.conf").read_text()
    lists = (folder / "zephyr" / "CMakeLists.txt").read_text()
    assert f"CONFIG_{symbol}" in lists
    for source in re.findall(r"\.\./(src/\S+\.c)", lists):
        assert (folder / source).is_file()
    sample = yaml.safe_load((folder / "samples" / "run" / "sample.yaml").read_text())
    assert sample["tests"].keys() == {f"sample.{NAME}"}


def test_an_esp_idf_component_registers_its_sources(export: Export, tmp_path: Path) -> None:
    need("cmake", "apt-get install cmake")
    folder = export("esp-idf-component")
    manifest = yaml.safe_load((folder / "idf_component.yml").read_text())
    assert manifest["version"] == "1.0.0"
    assert manifest["license"] == "Apache-2.0"
    script = tmp_path / "script.cmake"
    script.write_text(
        "function(idf_component_register)\n"
        '  cmake_parse_arguments(ARG "" "" "SRCS;INCLUDE_DIRS" ${ARGN})\n'
        '  message("${ARG_SRCS}|${ARG_INCLUDE_DIRS}|${ARG_UNPARSED_ARGUMENTS}")\n'
        "endfunction()\nfunction(target_compile_options)\nendfunction()\n"
        f"include({folder}/CMakeLists.txt)\n"
    )
    done = subprocess.run(
        ["cmake", "-P", script], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    )
    sources, include, rest = done.stderr.strip().split("|")
    assert {folder / source for source in sources.split(";")} == set(folder.glob("src/*.c"))
    assert (folder / include).is_dir()
    assert rest == ""


def test_a_cmsis_pack_names_all_its_files(export: Export) -> None:
    folder = export("cmsis-pack", version="1.2.3")
    (pack,) = folder.glob("*.pack")
    assert pack.name == f"pytest-microtvm.{NAME}.1.2.3.pack"
    archive = zipfile.ZipFile(io.BytesIO(pack.read_bytes()))
    assert archive.testzip() is None
    names = set(archive.namelist())
    root = ElementTree.fromstring(archive.read(f"pytest-microtvm.{NAME}.pdsc"))
    assert [child.tag for child in root] == [
        *("vendor", "name", "description", "url", "license", "releases", "components")
    ]
    assert root.find("releases/release").attrib["version"] == "1.2.3"  # type: ignore[union-attr]
    files = root.findall("components/component/files/file")
    named = {file.attrib["name"] for file in files}
    assert all(name in names or name.endswith("/") for name in named)
    assert {name for name in names if name.endswith(".c")} <= named


def test_a_platformio_library_has_the_keys_of_one(export: Export) -> None:
    folder = export("platformio")
    manifest = json.loads((folder / "library.json").read_text())
    assert re.fullmatch(r"[a-z0-9_-]+", manifest["name"])
    assert manifest.keys() >= {"name", "version", "description", "license", "frameworks"}
    assert (folder / "include" / manifest["headers"]).is_file()
    (example,) = manifest["examples"]
    assert all((folder / example["base"] / name).is_file() for name in example["files"])


def test_pools_are_given_by_the_example(tmp_path: Path) -> None:
    memories = {
        "two": Memory(
            (
                WorkspacePoolInfo("fast", 2048, read_bandwidth_bytes_per_cycle=8),
                WorkspacePoolInfo("slow"),
            ),
            (ConstantPoolInfo("tables", 4096),),
        ),
        "inside": Memory((WorkspacePoolInfo("own", internal=True),)),
        "io": Memory((WorkspacePoolInfo("sram"),), io_pool="sram"),
    }
    for name, memory in memories.items():
        path = tmp_path / f"{name}.tar"
        files = compile_to_files(MODELS / "keyword_int8.tflite", CompileOptions(memory=memory))
        write_library(path, files)
        for kind, more in (("c", []), ("stm32", ["-Wl,-T,ai/ai_models.ld"])):
            folder = export_model(open_library(path), tmp_path / name / kind, kind)
            assert run_both(folder, *more) == scores(), name


def run_both(folder: Path, *more: str) -> str:
    """What the example of C files prints, which is C++ as well."""
    include = "-Iai" if (folder / "ai").is_dir() else "-Iinclude"
    sources = sorted(folder.rglob("*.c"))
    printed = set()
    for compiler in (["gcc", "-std=c99"], ["g++", "-std=c++11", "-xc++"]):
        command = [*compiler, *STRICT, include, *map(str, sources), *more, "-lm"]
        run(*command, "-o", "program", cwd=folder)
        printed.add(run("./program", cwd=folder))
    (text,) = printed
    return text


def test_an_accelerator_is_given_by_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = external_kernels.npu(tmp_path)
    monkeypatch.setattr(external_kernels, "NPU", kernels, raising=False)
    place = f"{external_kernels.__name__}:NPU"
    monkeypatch.setitem(extensions.EXTERNAL_KERNELS.built_in, "npu", place)
    path = tmp_path / "model.tar"
    options = CompileOptions(external="npu")
    write_library(path, compile_to_files(MODELS / "keyword_int8.tflite", options))
    for name, more in (("c", []), ("stm32", ["-Wl,-T,ai/ai_models.ld"])):
        folder = export_model(open_library(path), tmp_path / name, name)
        assert run_both(folder, *more) == scores()
        assert "NpuMaxPool" in run("nm", "program", cwd=folder)


NEWCOMER = """\
def iar(contents):
    listed = "\\n".join(contents.compiled())
    return {**contents.code(), f"{contents.name}.ewp": listed.encode()}
"""


def test_a_package_adds_a_format(
    keyword: ModelLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "newcomer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: newcomer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pytest_microtvm.exports]\niar = newcomer:iar\n")
    (tmp_path / "newcomer.py").write_text(NEWCOMER)
    monkeypatch.syspath_prepend(tmp_path)
    extensions._installed.cache_clear()
    try:
        folder = tmp_path / "out"
        command = ["export", str(keyword.path), "--format", "iar", "-o", str(folder)]
        assert main([*command, "--cache-dir", str(tmp_path / "cache")]) == 0
    finally:
        monkeypatch.undo()
        extensions._installed.cache_clear()
    names = {path.name for path in folder.iterdir()}
    assert names == {"include", "src", "LICENSE", "model.json", f"{NAME}.ewp"}
    listed = (folder / f"{NAME}.ewp").read_text().split()
    assert listed == ["src/keyword_int8_lib0.c", "src/keyword_int8_lib1.c"]
