"""Firmware without the RPC server: standalone programs, and devices under test of MLPerf Tiny."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError
from pytest_microtvm.mlf.library import write_library
from pytest_microtvm.project import build_project, generate_project, platform_directory
from pytest_microtvm.session.console import Console
from pytest_microtvm.session.transport import ProjectTransport
from tests.contract.running import need_tools
from tests.mlperf_tiny import MlperfTinyClient
from tests.operators.running import run_litert
from tests.unit.compiler.tflite_models import Model, Quantization, Tensor, add, running_sum

pytest.importorskip("ai_edge_litert", reason="pip install 'pytest-microtvm[litert]'")

MODELS = Path(__file__).parents[2] / "conftest_examples" / "models"
BOARDS = ["host", "mps2_an386"]
BUILD_TIMEOUT_S = 120.0
BYTES = np.arange(256, dtype=np.uint8)

# Pixels, as the benchmarks of images take them: their real number is the element plus 128.
IMAGE = Model(
    [
        Tensor("pixels", [1, 256], "INT8", quantization=Quantization([1.0], [-128])),
        Tensor("sums", [1, 256], "INT8", quantization=Quantization([2.0], [-128])),
    ],
    [add([0, 0], 1)],
    [0],
    [1],
)
# Gives twice its input, so that the mean square of the difference is that of the input.
AUTOENCODER = Model(
    [
        Tensor("x", [1, 640], "INT8", quantization=Quantization([0.0625], [3])),
        Tensor("y", [1, 640], "INT8", quantization=Quantization([0.125], [3])),
    ],
    [add([0, 0], 1)],
    [0],
    [1],
)


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest) -> Board:
    return known(request.param)


def known(name: str) -> Board:
    """A board whose tools are here."""
    board = load_boards()[name]
    need_tools(board)
    return board


def new_project(folder: Path, board: Board, model: bytes, **options: Any) -> Path:
    """A built project of a model; its folder. `io_in_arena` is an option of the compiler."""
    file = folder / "model.tflite"
    file.write_bytes(model)
    archive = folder / "model.tar"
    io_in_arena = bool(options.pop("io_in_arena", False))
    compiled = CompileOptions(simd=board.cpu.simd, io_in_arena=io_in_arena)
    write_library(archive, compile_to_files(file, compiled))
    definition = folder / "board.json"
    definition.write_text(board.to_json())
    given = {"board": board.name, "board_definition": str(definition), "warning_as_error": True}
    template = platform_directory(board.platform)
    deadline = Deadline(BUILD_TIMEOUT_S)
    generate_project(template, archive, folder / "project", {**given, **options}, deadline)
    build_project(folder / "project", {}, deadline)
    return folder / "project"


def opened(project: Path) -> Console:
    console = Console(ProjectTransport(project, {}))
    console.open()
    return console


def interpreted(model: bytes, inputs: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """What the model's own interpreter gives."""
    (outputs,) = run_litert(model, [inputs])
    return outputs


def pattern(count: int) -> npt.NDArray[np.int64]:
    """What the inputs of a standalone program are made of."""
    return (37 * np.arange(count) + 11) % 256


def printed(project: Path) -> dict[str, list[str]]:
    """The outputs that a standalone program prints."""
    outputs = {}
    with opened(project) as console:
        while (line := console.read_line(20.0)) != "done":
            assert line is not None
            name, _, values = line.partition(":")
            outputs[name] = values.split()
    return outputs


# Standalone.


@pytest.mark.parametrize(
    ("name", "kind", "io_in_arena"),
    [
        ("host", "aot_standalone_demo", True),
        ("mps2_an386", "standalone", True),
        ("qemu_cortex_r5", "example_project", False),  # whose UART has no interrupt
    ],
)
def test_a_standalone_program_prints_what_the_interpreter_says(
    tmp_path: Path, name: str, kind: str, io_in_arena: bool
) -> None:
    board = known(name)
    model = (MODELS / "keyword_int8.tflite").read_bytes()
    project = new_project(tmp_path, board, model, io_in_arena=io_in_arena, project_type=kind)
    elements = (pattern(640) - 128).astype(np.int8).reshape(1, 32, 20, 1)
    (expected,) = interpreted(model, [elements])
    assert np.array_equal(np.array(printed(project)["scores"], np.int8), expected.reshape(-1))


def test_floats_are_printed_to_the_last_bit(board: Board, tmp_path: Path) -> None:
    model = (MODELS / "motion_float32.tflite").read_bytes()
    project = new_project(tmp_path, board, model, project_type="example_project")
    shapes = ((1, 3), (1, 32, 3))
    inputs = [((pattern(math.prod(each)) - 128) / 128).astype(np.float32) for each in shapes]
    given = [array.reshape(shape) for array, shape in zip(inputs, shapes, strict=True)]
    outputs = printed(project)
    expected = interpreted(model, given)
    assert len(outputs) == len(expected) == 2
    for values, array in zip(outputs.values(), expected, strict=True):
        numbers = np.array(values, np.float32)
        np.testing.assert_allclose(numbers, array.reshape(-1), rtol=1e-5, atol=1e-6)
        # Nine digits, which tell any two floats apart.
        assert all(len(value.lstrip("-")) == len("1.00000000e+00") for value in values)


def test_a_standalone_program_begins_a_sequence(tmp_path: Path) -> None:
    project = new_project(
        tmp_path, known("host"), running_sum().to_bytes(), project_type="standalone"
    )
    first = ((pattern(3) - 128) / 128 + [1, 2, 3]).astype(np.float32)
    ((_, values),) = printed(project).items()
    assert np.array_equal(np.array(values, np.float32), first)


def test_a_program_without_rpc_is_not_run_by_an_executor(tmp_path: Path) -> None:
    board = known("host")
    for kind, executor in (("standalone", "graph"), ("mlperftiny", "host_driven")):
        with pytest.raises(ConfigError, match=f"{kind}.*executor {executor}"):
            new_project(
                tmp_path, board, running_sum().to_bytes(), project_type=kind, executor=executor
            )
        assert not (tmp_path / "project").exists()


# MLPerf Tiny.


def test_images_are_loaded_as_pixels(board: Board, tmp_path: Path) -> None:
    options = {"project_type": "mlperftiny", "benchmark": "ic01"}
    project = new_project(tmp_path, board, IMAGE.to_bytes(), **options)
    with opened(project) as console:
        client = MlperfTinyClient(console)
        assert client.greeting[0] == "m-timestamp-mode-performance"
        assert client.greeting[-1] == "m-init-done"
        assert client.command("name") == [f"m-name-dut-[{board.name}]"]
        assert client.command("profile") == [
            "m-profile-[ULPMark for tinyML Firmware V0.0.1]",
            "m-model-[ic01]",
        ]
        assert client.load(BYTES.tobytes()) == ["m-load-done"]
        assert client.command("db print 10 254") == ["m-buffer-fe-ff"]
        assert client.command("db print 9")[0] == "m-buffer-00-01-02-03-04-05-06-07"
        inference = client.infer(20, 5)
        assert inference.results == [2.0 * pixel for pixel in range(256)]
        assert client.results() == inference.results
        assert inference.elapsed_us is not None
        assert inference.elapsed_us > 0
        (first,), (second,) = client.command("timestamp"), client.command("timestamp")
        assert int(first.removeprefix("m-lap-us-")) <= int(second.removeprefix("m-lap-us-"))


@pytest.mark.parametrize("executor", ["aot", "graph"])
def test_features_are_loaded_as_they_are(tmp_path: Path, executor: str) -> None:
    board = known("host")
    model = (MODELS / "keyword_int8.tflite").read_bytes()
    options = {"project_type": "mlperftiny", "benchmark": "kws01", "executor": executor}
    project = new_project(tmp_path, board, model, **options)
    elements = (pattern(640) - 128).astype(np.int8)
    (expected,) = interpreted(model, [elements.reshape(1, 32, 20, 1)])
    with opened(project) as console:
        client = MlperfTinyClient(console)
        client.load(elements.tobytes())
        results = client.infer(1, 0).results
    # The scores are probabilities in steps of 1 / 256.
    np.testing.assert_allclose(results, (expected.reshape(-1) + 128.0) / 256, atol=0.0005)


def test_an_autoencoder_tells_its_error(board: Board, tmp_path: Path) -> None:
    project = new_project(tmp_path, board, AUTOENCODER.to_bytes(), project_type="mlperftiny")
    inputs = np.linspace(-9, 9, 640, dtype=np.float32)
    steps = np.clip(np.sign(inputs) * np.floor(np.abs(inputs) * 16 + 0.5) + 3, -128, 127)
    (output,) = interpreted(AUTOENCODER.to_bytes(), [steps.astype(np.int8).reshape(1, 640)])
    real = 0.125 * (output.reshape(-1).astype(np.float32) - 3)
    with opened(project) as console:
        client = MlperfTinyClient(console)
        assert client.command("profile")[1] == "m-model-[ad01]"
        client.load(inputs.tobytes())
        (error,) = client.infer(2, 1).results
    assert error == pytest.approx(np.mean((real - inputs) ** 2), abs=0.001)


def test_wrong_commands_get_an_error_and_nothing_else(tmp_path: Path) -> None:
    options = {"project_type": "mlperftiny", "benchmark": "ic01"}
    project = new_project(tmp_path, known("host"), IMAGE.to_bytes(), **options)
    with opened(project) as console:
        client = MlperfTinyClient(console)
        for command in (
            *("", "nonsense", "db", "db load", "db load 0", "db load 257", "db load x", "db 00"),
            *("infer 0", "infer x", "infer 1 -1", "infer 1 0", "results", "db print x", "d" * 500),
        ):
            (line,) = client.command(command)
            assert line.startswith("e-["), command
        client.command("db load 2")
        for command in ("db 0", "db 0g", "infer 1"):
            (line,) = client.command(command)
            assert line.startswith("e-["), command
        assert client.command("db 1122334455") == ["m-load-done"]
        assert client.command("db print") == ["m-buffer-11-22"]
        assert any("infer" in line for line in client.command("help"))
        assert client.command("\r\n name\r\n") == ["m-name-dut-[host]"]


def test_energy_mode_pulls_a_pin_in_place_of_printing(tmp_path: Path) -> None:
    options = {"project_type": "mlperftiny", "benchmark": "ic01", "benchmark_mode": "energy"}
    project = new_project(tmp_path, known("mps2_an386"), IMAGE.to_bytes(), **options)
    with opened(project) as console:
        client = MlperfTinyClient(console)
        assert client.greeting == ["m-timestamp-mode-energy", "m-init-done"]
        client.load(BYTES.tobytes())
        assert client.infer(1, 0).elapsed_us is None
        assert client.command("timestamp") == []


def test_energy_mode_needs_a_pin(tmp_path: Path) -> None:
    options = {"project_type": "mlperftiny", "benchmark": "ic01", "benchmark_mode": "energy"}
    with pytest.raises(ConfigError, match="no pin for a power monitor on host"):
        new_project(tmp_path, known("host"), IMAGE.to_bytes(), **options)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (IMAGE, {}, "input of 256 elements, which no benchmark.*benchmark="),
        (running_sum(), {"benchmark": "ad01"}, "and states"),
        (running_sum(), {}, "no model of MLPerf Tiny"),
    ],
)
def test_models_of_no_benchmark_are_refused(
    tmp_path: Path, model: Model, options: dict[str, str], message: str
) -> None:
    with pytest.raises(BuildError, match=message):
        new_project(tmp_path, known("host"), model.to_bytes(), project_type="mlperftiny", **options)
    assert not (tmp_path / "project").exists()


def test_a_benchmark_is_for_one_kind_of_project(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mean nothing to a project of type standalone"):
        new_project(
            tmp_path,
            known("host"),
            IMAGE.to_bytes(),
            project_type="standalone",
            benchmark="ic01",
        )
