"""The code generator for STM32: all functions of its API, for two models, here and on boards."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_microtvm import CodeEmitter, ConfigError
from pytest_microtvm.boards import load_boards
from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.exports.stm32 import get_input_tensor_name, get_output_tensor_name
from pytest_microtvm.mlf.library import ModelLibrary, open_library, write_library
from tests.contract.running import need_tools
from tests.exports.conftest import MODELS
from tests.operators.running import run_litert
from tests.unit.compiler.tflite_models import (
    Model,
    Quantization,
    Tensor,
    fully_connected,
    running_sum,
)

PROGRAMS = Path(__file__).parent / "programs"
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wcast-qual", "-Werror"]
KERNEL_FLAGS = ["-O1", "-ffp-contract=off", "-fno-math-errno", "-ffunction-sections"]
TIMEOUT_S = 120
EMITTED = {"digits.c", "digits.h", "digits_data.c", "digits_data.h", "digits_lib0.c"} | {
    *("digits_lib1.c", "digits.params", "digits.json")
}


def digits() -> Model:
    """784 pixels to 10 digits by two layers of numbers that are made up."""
    numbers = np.random.default_rng(17)
    hidden, tens = 16, 10

    def weights(name: str, shape: tuple[int, int]) -> Tensor:
        data = numbers.integers(-127, 128, shape).astype(np.int8)
        return Tensor(name, shape, "INT8", data, Quantization([0.01], [0]))

    def bias(name: str, count: int, scale: float) -> Tensor:
        data = numbers.integers(-900, 900, count).astype(np.int32)
        return Tensor(name, [count], "INT32", data, Quantization([scale], [0]))

    return Model(
        [
            Tensor("pixels", [1, 784], "INT8", quantization=Quantization([0.004], [-128])),
            weights("w0", (hidden, 784)),
            bias("b0", hidden, 0.004 * 0.01),
            Tensor("hidden", [1, hidden], "INT8", quantization=Quantization([0.1], [3])),
            weights("w1", (tens, hidden)),
            bias("b1", tens, 0.1 * 0.01),
            Tensor("digits", [1, tens], "INT8", quantization=Quantization([0.2], [0])),
        ],
        [fully_connected([0, 1, 2], 3), fully_connected([3, 4, 5], 6)],
        [0],
        [6],
    )


@pytest.fixture(scope="module")
def digits_library(tmp_path_factory: pytest.TempPathFactory) -> ModelLibrary:
    return written(digits(), tmp_path_factory.mktemp("digits"))


def written(model: Model, folder: Path) -> ModelLibrary:
    file = folder / "digits.tflite"
    file.write_bytes(model.to_bytes())
    write_library(folder / "model.tar", compile_to_files(file))
    return open_library(folder / "model.tar")


def emit(library: ModelLibrary, folder: Path, name: str, **options: bool) -> Path:
    emitter = CodeEmitter(**options)
    emitter.parse_library_format(library.path)
    emitter.emit_code(folder, name)
    return folder


@pytest.fixture(scope="module")
def firmware(
    keyword: ModelLibrary, digits_library: ModelLibrary, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the code of both models, and the program that calls everything."""
    folder = tmp_path_factory.mktemp("firmware") / "code"
    emit(keyword, folder, "keyword")
    second = emit(digits_library, folder.parent / "second", "digits")
    for path in second.iterdir():
        shutil.copyfile(path, folder / path.name)
    for name in ("models.c", "cortex_m.c", "cortex_m.ld"):
        shutil.copyfile(PROGRAMS / name, folder / name)
    return folder


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expected() -> list[str]:
    """The outputs of both models, by their own interpreter."""
    pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")

    def outputs(name: str, model: bytes, shape: tuple[int, ...]) -> str:
        elements = ((37 * np.arange(np.prod(shape)) + 11) % 256 - 128).astype(np.int8)
        (results,) = run_litert(model, [[elements.reshape(shape)]])
        return f"{name}: {' '.join(map(str, results[0].reshape(-1)))}"

    keyword = (MODELS / "keyword_int8.tflite").read_bytes()
    return [
        outputs("keyword", keyword, (1, 32, 20, 1)),
        outputs("digits", digits().to_bytes(), (1, 784)),
    ]


def assert_right(printed: str) -> None:
    lines = printed.splitlines()
    assert lines[-1] == "2 models"
    for line in expected():
        assert line in lines
    about = next(line for line in lines if line.startswith("digits v1"))
    assert re.fullmatch(
        r"digits v1 pytest-microtvm \S+ api 1\.0\.0\.0, 2 nodes, 1 to 1 tensors, \d+ and \d+ bytes",
        about,
    )
    assert "scale 0.004000, zero point -128" in lines


@pytest.mark.parametrize("compiler", [["gcc", "-std=c99"], ["g++", "-std=c++11", "-xc++"]])
def test_both_models_run_here(firmware: Path, compiler: list[str]) -> None:
    program = f"program_{compiler[0].replace('+', 'p')}"
    sources = sorted(set(firmware.glob("*.c")) - {firmware / "cortex_m.c"})
    sanitizers = ["-g", "-fsanitize=address,undefined"]
    run(
        *(*compiler, *STRICT, *KERNEL_FLAGS, *sanitizers),
        *sources,
        "-Wl,-T,ai_models.ld",
        "-lm",
        "-o",
        program,
        cwd=firmware,
    )
    assert_right(run(f"./{program}", cwd=firmware))


@pytest.mark.parametrize(
    ("name", "flash", "ram"),
    [
        ("mps2_an386", "ORIGIN = 0, LENGTH = 4M", "ORIGIN = 0x20000000, LENGTH = 4M"),
        ("netduinoplus2", "ORIGIN = 0x08000000, LENGTH = 1M", "ORIGIN = 0x20000000, LENGTH = 128K"),
    ],
)
def test_both_models_run_on_boards(
    firmware: Path, tmp_path: Path, name: str, flash: str, ram: str
) -> None:
    board = load_boards()[name]
    need_tools(board)
    script = tmp_path / "board.ld"
    memory = f"MEMORY {{\n  FLASH (rx) : {flash}\n  RAM (rwx) : {ram}\n}}\n"
    script.write_text(memory + (firmware / "cortex_m.ld").read_text())
    elf = tmp_path / "firmware.elf"
    run(
        "arm-none-eabi-gcc",
        *board.settings["toolchain"]["flags"],
        *("-std=c99", *STRICT, *KERNEL_FLAGS, "-nostartfiles", "--specs=nosys.specs"),
        *("-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments", f"-Wl,-T,{script}"),
        *sorted(firmware.glob("*.c")),
        *("-lm", "-o", elf),
        cwd=firmware,
    )
    assert board.emulator is not None
    machine = ["-machine", board.emulator.machine, "-nographic", "-monitor", "none"]
    console = ["-serial", "null", "-chardev", "stdio,id=console"]
    semihosting = ["-semihosting-config", "enable=on,target=native,chardev=console"]
    assert_right(
        run("qemu-system-arm", *machine, *console, *semihosting, "-kernel", elf, cwd=tmp_path)
    )


def test_files_and_sections_have_their_names(digits_library: ModelLibrary, tmp_path: Path) -> None:
    folder = emit(digits_library, tmp_path / "code", "Digits")
    names = {path.name for path in folder.iterdir()}
    assert names >= EMITTED
    objects = tmp_path / "objects"
    objects.mkdir()
    run("gcc", "-c", *sorted(folder.glob("digits*.c")), cwd=objects)
    sections = run("readelf", "-SW", "digits.o", "digits_data.o", cwd=objects)
    for section in (".nn_models", ".nn_weights", ".digits.nn_data_act"):
        assert f" {section} " in sections


def test_each_node_is_told_when_asked(digits_library: ModelLibrary, tmp_path: Path) -> None:
    folder = emit(digits_library, tmp_path / "code", "digits")
    (folder / "main.c").write_text(
        '#include "digits.h"\nint main(void) {\n  ai_handle network;\n'
        "  ai_create(&digits_network, NULL, &network);\n  return (int)ai_run(network);\n}\n"
    )
    for flags, count in (([], 0), (["-D_VERBOSE_"], 2)):
        files = sorted(folder.glob("*.c"))
        run("gcc", *flags, *files, "-Wl,-T,ai_models.ld", "-lm", "-o", "program", cwd=folder)
        assert len(run("./program", cwd=folder).splitlines()) == count


def test_memory_may_be_the_applications(digits_library: ModelLibrary, tmp_path: Path) -> None:
    no = dict.fromkeys(("include_activations", "include_inputs", "include_outputs"), False)
    folder = emit(digits_library, tmp_path / "code", "digits", **no)
    full = emit(digits_library, tmp_path / "full", "digits")
    size = re.compile(r"_DIGITS_ACTIVATION_BYTES_ \((\d+)\)")
    bytes_of = [int(size.findall((each / "digits.h").read_text())[0]) for each in (folder, full)]
    assert bytes_of[1] - bytes_of[0] == 784 + 16
    assert "own_activations" not in (folder / "digits.c").read_text()
    (folder / "main.c").write_text(
        '#include "digits.h"\n'
        "static uint8_t memory[_DIGITS_ACTIVATION_BYTES_] __attribute__((aligned(8)));\n"
        "static int8_t input[784], output[10];\n"
        "int main(void) {\n  ai_handle network;\n"
        "  if (ai_create(&digits_network, NULL, &network) == AI_STATUS_OK) return 1;\n"
        "  if (ai_get_error_code(network) != AI_ERROR_NO_ACTIVATIONS) return 2;\n"
        "  if (ai_create(&digits_network, memory, &network) != AI_STATUS_OK) return 3;\n"
        "  if (ai_run(network) != AI_STATUS_ERROR) return 4;\n"
        "  ai_get_input(network, 0)->dltensor.data = input;\n"
        "  ai_get_output(network, 0)->dltensor.data = output;\n"
        "  return ai_run(network) == AI_STATUS_OK ? 0 : 5;\n}\n"
    )
    run("gcc", *folder.glob("*.c"), "-Wl,-T,ai_models.ld", "-lm", "-o", "program", cwd=folder)
    run("./program", cwd=folder)


def test_a_state_begins_anew_with_each_creation(tmp_path: Path) -> None:
    folder = emit(written(running_sum(), tmp_path), tmp_path / "code", "sum")
    (folder / "main.c").write_text(
        '#include <stdio.h>\n#include "sum.h"\n'
        "int main(void) {\n  ai_handle network;\n  int i;\n"
        "  for (i = 0; i < 4; ++i) {\n"
        "    if (i % 2 == 0) {\n      if (i > 0) ai_destroy(network);\n"
        "      if (ai_create(&sum_network, NULL, &network) != AI_STATUS_OK) return 1;\n    }\n"
        "    ((float *)ai_get_input(network, 0)->dltensor.data)[0] = 10.0f;\n"
        "    if (ai_run(network) != AI_STATUS_OK) return 2;\n"
        '    printf("%g\\n", (double)((float *)ai_get_output(network, 0)->dltensor.data)[0]);\n'
        "  }\n  return 0;\n}\n"
    )
    run("gcc", *folder.glob("*.c"), "-Wl,-T,ai_models.ld", "-lm", "-o", "program", cwd=folder)
    assert run("./program", cwd=folder).split() == ["11", "21", "11", "21"]


def test_quantization_may_be_given(digits_library: ModelLibrary, tmp_path: Path) -> None:
    scales: npt.NDArray[Any] = np.linspace(0.1, 1.0, 10)
    emitter = CodeEmitter()
    given = {"digits": {"scale": scales, "zero_point": np.arange(10), "dim": 1}}
    emitter.parse_library_format(digits_library, given)
    text = emitter.files("digits")["digits.c"].decode()
    assert "output_0_quant = {output_0_scale, output_0_zero_point, 1};" in text.replace("\n", "")
    assert "static int32_t output_0_zero_point[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};" in text
    for wrong, message in (
        ({"nothing": {"scale": 1, "zero_point": 0}}, "no input or output 'nothing'"),
        ({"digits": {"scale": [1, 2], "zero_point": 0}}, "2 scales and 1 zero points"),
        ({"digits": {"scale": "x"}}, "is no scale and zero_point"),
    ):
        with pytest.raises(ConfigError, match=message):
            emitter.parse_library_format(digits_library, wrong)


def test_tensors_are_called_as_by_microtvm() -> None:
    assert get_input_tensor_name("pixels") == "pixels"
    assert get_output_tensor_name("softmax", 1) == "softmax_1"


def test_wrong_use_is_refused(digits_library: ModelLibrary, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="activations, which are not static"):
        CodeEmitter(include_activations=False)
    with pytest.raises(ConfigError, match="no model was read"):
        CodeEmitter().emit_code(tmp_path / "code", "m")
    emitter = CodeEmitter()
    emitter.parse_library_format(digits_library)
    for name in ("", "7", "é"):
        with pytest.raises(ConfigError, match="cannot be named"):
            emitter.emit_code(tmp_path / "code", name)
    with pytest.raises(ConfigError, match="exists already"):
        emitter.emit_code(tmp_path, "m")
    assert not (tmp_path / "code").exists()
