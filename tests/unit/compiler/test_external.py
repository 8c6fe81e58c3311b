"""Kernels from outside: a library's, and an accelerator's."""

from __future__ import annotations

import ctypes
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_key, compile_to_files
from pytest_microtvm.compiler.external import use_of
from pytest_microtvm.compiler.external.cmsis_nn import KERNELS as CMSIS_NN
from pytest_microtvm.compiler.pools import Memory, WorkspacePoolInfo
from pytest_microtvm.compiler.program import Device
from pytest_microtvm.compiler.quantized.external import ExternalKernels, load_external
from pytest_microtvm.compiler.quantized.specs import FullyConnected, Requantization, Rounding
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.extensions import EXTERNAL_KERNELS
from pytest_microtvm.mlf.library import ModelLibrary
from tests.unit.compiler import external_kernels
from tests.unit.compiler.native import C99, CXX11, NativeModel, aligned, compile_c
from tests.unit.compiler.pool_program import open_files, random_inputs

KEYWORD = Path(__file__).parents[3] / "conftest_examples" / "models" / "keyword_int8.tflite"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The outputs of the model with our own kernels."""
    model = NativeModel(compile_to_files(KEYWORD), tmp_path_factory.mktemp("own"), ("-O0",))
    return outputs(model(*random_inputs(model.library)))


def outputs(arrays: list[np.ndarray]) -> bytes:
    return b"".join(array.tobytes() for array in arrays)


@pytest.fixture
def npu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExternalKernels:
    """An accelerator that is registered as `npu`."""
    kernels = external_kernels.npu(tmp_path)
    monkeypatch.setattr(external_kernels, "NPU", kernels, raising=False)
    place = f"{external_kernels.__name__}:NPU"
    monkeypatch.setitem(EXTERNAL_KERNELS.built_in, "npu", place)
    return kernels


class Accelerated:
    """The model with the accelerator's kernel, built for this computer."""

    def __init__(self, directory: Path, memory: Memory | None = None) -> None:
        options = CompileOptions(external="npu", memory=memory or Memory())
        self.library: ModelLibrary
        self.library, self.root = open_files(compile_to_files(KEYWORD, options), directory)
        sources = [str(path) for path in sorted((self.root / "codegen/host/src").glob("*.c"))]
        sources.append(str(self.root / "runtime/src/context.c"))
        ours = [source for source in sources if "npu.c" not in source]
        compile_c([*CXX11, "-fsyntax-only"], self.root, ours[:-1])
        built = str(directory / "model.so")
        compile_c([*C99, "-fPIC", "-shared"], self.root, [*sources, "-lm", "-o", built])
        self.functions = ctypes.CDLL(built)
        self.results = [aligned(spec, None) for spec in self.library.outputs]
        self.tensors = self.results

    def pointers(self) -> tuple[Any, Any, Any]:
        """Inputs, outputs and pools, as pointers to structs of pointers."""
        inputs = random_inputs(self.library)
        given = [aligned(s, a) for s, a in zip(self.library.inputs, inputs, strict=True)]
        pools = [np.zeros(p.size_bytes + 16, np.uint8) for p in self.library.pools]
        self.tensors = [*given, *pools]  # they live as long as this does
        at = [-(-pool.ctypes.data // 16) * 16 for pool in pools]
        return (
            (ctypes.c_void_p * len(given))(*(array.ctypes.data for array in given)),
            (ctypes.c_void_p * len(self.results))(*(a.ctypes.data for a in self.results)),
            (ctypes.c_void_p * len(at))(*at),
        )

    def run(self, instance: bytes) -> tuple[int, str]:
        """Run with an instance of the device; the status, and what was called."""
        calls = (ctypes.c_char * 64).in_dll(self.functions, "npu_calls")
        ctypes.memset(calls, 0, 64)
        content = ctypes.create_string_buffer(instance)
        devices = (ctypes.c_void_p * 1)(ctypes.addressof(content) if instance else None)
        run = getattr(self.functions, f"tvmgen_{self.library.name}_run")
        status = ctypes.c_int32(run(*self.pointers(), devices)).value
        return status, calls.value.decode()


@pytest.mark.parametrize(
    "memory", [None, Memory((WorkspacePoolInfo("dtcm", 4096), WorkspacePoolInfo("sram")))]
)
def test_an_accelerator_runs_one_layer_between_its_hooks(npu, memory, tmp_path, expected):
    model = Accelerated(tmp_path / "model", memory)
    module = model.library.metadata["modules"]["keyword_int8"]
    (dependency,) = module["external_dependencies"]
    assert dependency == {
        "name": "npu",
        "functions": ["tvmgen_keyword_int8_max_pool_3"],
        "files": ["include/npu.h", "src/npu.c"],
        "link_flags": ["-lm"],
    }
    assert module["devices"] == {"npu": {"id": 7, "macro": "TVMGEN_KEYWORD_INT8_NPU_DEVICE_ID"}}
    header = (model.root / "codegen/host/include/tvmgen_keyword_int8.h").read_text()
    assert "#define TVMGEN_KEYWORD_INT8_NPU_DEVICE_ID 7\n" in header
    assert model.run(b"") == (0, "aokcd")
    assert outputs(model.results) == expected
    # What fails is told, and what was done before is undone.
    assert model.run(b"a") == (-2, "a")
    assert model.run(b"o") == (-2, "aod")
    assert model.run(b"c") == (-2, "aokcd")
    assert model.run(b"d") == (-2, "aokcd")
    assert model.run(b"k") == (0, "aokcd")


def test_a_context_names_the_instance_of_a_device_by_its_id(npu, tmp_path, expected):
    model = Accelerated(tmp_path / "model")

    class Device(ctypes.Structure):
        _fields_ = [("id", ctypes.c_int32), ("instance", ctypes.c_void_p)]

    class Context(ctypes.Structure):
        _fields_ = [
            ("workspaces", ctypes.c_void_p),
            ("devices", ctypes.POINTER(Device)),
            ("num_devices", ctypes.c_uint32),
        ]

    inputs, results, pools = model.pointers()
    failing = ctypes.create_string_buffer(b"o")
    devices = (Device * 2)(Device(3, None), Device(7, ctypes.addressof(failing)))
    context = Context(ctypes.addressof(pools), devices, 2)
    described = ctypes.c_char.in_dll(model.functions, "tvmgen_keyword_int8")
    functions = model.functions
    functions.TVMGetLastError.restype = ctypes.c_char_p
    arguments = (ctypes.byref(described), inputs, results, ctypes.byref(context))
    assert functions.TVMExecute(*arguments) == -2
    assert functions.TVMGetLastError() == b"a device failed"
    context.num_devices = 1
    assert functions.TVMExecute(*arguments) == 0
    assert functions.TVMGetLastError() == b""
    assert outputs(model.results) == expected


def test_executors_of_the_runtime_call_the_hooks_too(npu, tmp_path):
    files = compile_to_files(KEYWORD, CompileOptions(external="npu"))
    graph = files["codegen/host/src/keyword_int8_graph.c"].decode()
    assert graph.count("TVMDeviceNpuActivate(NULL)") == 1
    model = files["codegen/host/src/keyword_int8_model.c"].decode()
    assert "memory.npu = NULL;" in model


def test_the_functions_of_cmsis_nn_give_the_same_bytes(tmp_path, expected):
    folder = external_kernels.write_cmsis_nn(tmp_path / "cmsis")
    pack = tmp_path / "ARM.CMSIS-NN.7.0.0.pack"
    with zipfile.ZipFile(pack, "w") as archive:
        for path in sorted(folder.rglob("*.[ch]")):
            archive.write(path, path.relative_to(folder))
    files = compile_to_files(KEYWORD, CompileOptions(external=f"cmsis_nn={folder}"))
    assert files == compile_to_files(KEYWORD, CompileOptions(external=f"cmsis_nn={pack}"))
    model = NativeModel(files, tmp_path)
    assert outputs(model(*random_inputs(model.library))) == expected
    [used] = model.library.metadata["modules"]["keyword_int8"]["external_dependencies"]
    assert {name.rpartition("_")[0] for name in used["functions"]} == {
        "tvmgen_keyword_int8_depthwise_conv2d",
        "tvmgen_keyword_int8_conv2d",
    }
    # What nothing calls is not there.
    assert "src/arm_test_requantize.c" in used["files"]
    assert not [name for name in used["files"] if "not_called" in name or "connected" in name]


def test_cmsis_nn_has_fully_connected_layers_that_round_as_it_does(tmp_path):
    scale = np.array([1 << 30], np.int32), np.array([-3], np.int32)
    for rounding, wanted in ((Rounding.DOUBLE, True), (Rounding.SINGLE, False)):
        requantization = Requantization(*scale, rounding, 3, -128, 127)
        spec = FullyConnected(1, np.ones((4, 8), np.int8), 0, None, -5, requantization)
        source = CMSIS_NN.kernels[FullyConnected](spec)
        assert (source is not None) == wanted
    folder = external_kernels.write_cmsis_nn(tmp_path)
    files = use_of("cmsis_nn", str(folder), "arm_fully_connected_s8(").files
    assert "src/arm_fully_connected_s8.c" in files


def test_sources_that_are_missing_or_wrong_are_told(tmp_path):
    with pytest.raises(ConfigError, match="need the sources of CMSIS-NN") as refused:
        compile_to_files(KEYWORD, CompileOptions(external="cmsis_nn"))
    assert "MICROTVM_CMSIS_NN_PATH" in refused.value.cure
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.h").write_text("")
    (tmp_path / "broken.pack").write_text("no zip")
    for name, message in {
        "empty": "has no C files",
        "other": "has no arm_nnfunctions.h",
        "broken.pack": "cannot be read",
        "none": "cannot be read",
    }.items():
        with pytest.raises(ConfigError, match=message):
            compile_to_files(KEYWORD, CompileOptions(external=f"cmsis_nn={tmp_path / name}"))
    folder = external_kernels.write_cmsis_nn(tmp_path / "old")
    (folder / "Source/ConvolutionFunctions/arm_convolve_wrapper_s8.c").unlink()
    with pytest.raises(ConfigError, match="has no function arm_convolve_wrapper_s8"):
        compile_to_files(KEYWORD, CompileOptions(external=f"cmsis_nn={folder}"))


def test_what_is_registered_wrongly_is_told(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no library of external kernels 'tpu'"):
        compile_to_files(KEYWORD, CompileOptions(external="tpu"))
    monkeypatch.setitem(EXTERNAL_KERNELS.built_in, "wrong", "pathlib:Path")
    with pytest.raises(ConfigError, match="are a type"):
        load_external("wrong")
    with pytest.raises(ConfigError, match="linked with '-Wl,-x'"):
        ExternalKernels(link_flags=("-Wl,-x",))
    assert Device("my_npu").hook("Open") == "TVMDeviceMyNpuOpen"


def test_other_sources_are_another_compilation(tmp_path):
    folder = external_kernels.write_cmsis_nn(tmp_path)
    options = CompileOptions(external=f"cmsis_nn={folder}")
    before = compile_key(KEYWORD, options)
    assert before == compile_key(KEYWORD, options) != compile_key(KEYWORD, CompileOptions())
    path = folder / "Source/ConvolutionFunctions/arm_convolve_wrapper_s8.c"
    path.write_text(path.read_text() + "\n")
    assert compile_key(KEYWORD, options) != before
