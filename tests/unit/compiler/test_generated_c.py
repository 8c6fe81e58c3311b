"""Generated C as a firmware engineer reads it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.compiler.emit.literals import comment
from pytest_microtvm.compiler.naming import KERNEL_INCLUDE
from pytest_microtvm.version import __version__
from tests.unit.compiler.native import C99, CXX11, NativeModel, compile_c
from tests.unit.compiler.relax_models import relax_module
from tests.unit.compiler.tflite_models import Tensor, two_by_two

MODELS = Path(__file__).parents[3] / "conftest_examples" / "models"
KEYWORD = MODELS / "keyword_int8.tflite"
MOTION = MODELS / "motion_float32.tflite"


def sources(model: Path, simd: str = "none") -> dict[str, str]:
    """The generated files, without those that are the same for all models."""
    files = compile_to_files(model, CompileOptions(simd=simd))
    return {
        path: content.decode()
        for path, content in files.items()
        if path.startswith("codegen/") and "tvmgen_integer" not in path
    }


@pytest.fixture(scope="module", params=["none", "dsp", "helium"])
def keyword(request) -> dict[str, str]:
    return sources(KEYWORD, request.param)


def kernels(files: dict[str, str]) -> list[tuple[str, str, str]]:
    """Of each kernel the comment, the signature and the body."""
    [text] = [text for path, text in files.items() if path.endswith("_lib0.c")]
    found = re.findall(
        r"(/\*\n(?: \*[^\n]*\n)+)(void \w+\([^)]*\)) \{\n(.*?)^\}", text, re.M | re.S
    )
    assert len(found) == len(re.findall(r"^void ", text, re.M))
    return found


def test_lines_fit_a_screen(keyword):
    for path, text in {**keyword, **sources(MOTION)}.items():
        lines = [line for line in text.splitlines() if '"' not in line]  # names stay whole
        assert max(map(len, lines)) <= 100, path


def test_each_kernel_says_what_it_computes_for_which_layer(keyword):
    first, *others = kernels(keyword)
    said = re.sub(r"\n \*\s*", " ", first[0])
    assert "depthwise_conv2d, computed over integers" in said
    assert "input shape 1 x 32 x 20 x 1, output shape 1 x 16 x 10 x 16" in said
    assert "window 5 x 3, strides 2 x 2, dilation 1 x 1, padding 1 above and 0 to the left" in said
    assert "of sequential_1_1/re_lu_1/Relu; " in said
    assert "input = 0.023346111 * (q + 11), output = 0.030576792 * (q + 128)" in said
    assert re.search(r"weights: .*taps?", said)
    assert any("of scores: " in comment for comment, _, _ in others)


def test_parameters_say_what_they_are(keyword):
    names = {
        name for _, signature, _ in kernels(keyword) for name in re.findall(r"(\w+)[,)]", signature)
    }
    assert names <= {"input", "weights", "parameters", "shifts", "places", "output", "workspace"}
    assert {"input", "weights", "parameters", "output"} <= names


def test_nothing_says_nothing(keyword):
    for _, _, body in kernels(keyword):
        assert not re.search(r"[*/] 1(?![\w.])|[+-] 0(?![\w.])|[^\w.]0 \* ", body)
        assert "continue;" in body or not re.search(r"= 0; \w+ < 1;", body)
        assert not re.search(r"\{\n\s*\}", body)


def test_float_kernels_say_what_they_compute():
    [dense, *_] = [each for each in kernels(sources(MOTION)) if "fully_connected" in each[0]]
    said = re.sub(r"\n \*\s*", " ", dense[0])
    assert "fully_connected, computed over floats" in said
    assert "weights values float32 48 x 1 x 1 x 99" in said
    assert re.findall(r"(\w+)[,)]", dense[1]) == ["input", "weights", "bias", "output"]


def test_kernels_of_tvm_have_comments_and_names_too():
    from tvm import relax

    module = relax_module(lambda x, y: relax.op.power(x, y), ((2, 3), "float32"), ((), "float32"))
    files = {
        path: text.decode()
        for path, text in compile_to_files(module).items()
        if path.endswith("_lib0.c")
    }
    [power] = kernels(files)
    assert "power, as TVM writes it" in power[0]
    assert "input0: float32 2 x 3" in power[0]
    assert re.findall(r"(\w+)[,)]", power[1]) == ["input0", "input1", "output"]


def test_every_file_says_where_it_comes_from_and_under_which_license(keyword):
    sha256 = hashlib.sha256(KEYWORD.read_bytes()).hexdigest()
    for text in keyword.values():
        top = text[: text.index("*/")]
        assert f"pytest-microtvm {__version__} from keyword_int8.tflite: do not edit." in top
        assert f"SHA-256 of the model: {sha256}" in top
        assert "SPDX-License-Identifier: Apache-2.0" in top


def test_the_archive_has_the_license_and_says_which_model_it_is():
    files = compile_to_files(KEYWORD)
    assert b"Apache License" in files["LICENSE"]
    module = json.loads(files["metadata.json"])["modules"]["keyword_int8"]
    assert module["model"] == {
        "file": "keyword_int8.tflite",
        "sha256": hashlib.sha256(KEYWORD.read_bytes()).hexdigest(),
    }
    for path, content in files.items():
        if path.endswith((".c", ".h")):
            assert b"SPDX-License-Identifier: Apache-2.0" in content[:400], path


def test_scales_and_zero_points_are_macros_with_twins():
    files = compile_to_files(KEYWORD)
    header = files["codegen/host/include/tvmgen_keyword_int8.h"].decode()
    macros = dict(re.findall(r"#define TVMGEN_KEYWORD_INT8_(\w+) (\S+)", header))
    functions = json.loads(files["metadata.json"])["modules"]["keyword_int8"]["memory"]["functions"]
    [main] = functions["main"]
    tensors = {**main["inputs"], **main["outputs"]}
    assert len(tensors) == 2
    for tensor in tensors.values():
        scale = macros[f"{tensor['c_name'].upper()}_SCALE"]
        assert scale.endswith("f")
        assert np.float32(scale[:-1]) == np.float32(tensor["scale"]) > 0
        assert macros[f"{tensor['c_name'].upper()}_ZERO_POINT"] == f"({tensor['zero_point']})"


def test_float_tensors_have_neither(tmp_path):
    files = compile_to_files(MOTION)
    header = files["codegen/host/include/tvmgen_motion_float32.h"].decode()
    assert "_SCALE" not in header
    assert "_ZERO_POINT" not in header
    assert b'"scale"' not in files["metadata.json"]


USE = """\
#include <stddef.h>
#include <stdio.h>
#include "tvmgen_keyword_int8.h"

static const int8_t spectrogram[TVMGEN_KEYWORD_INT8_SPECTROGRAM_SIZE] = {1};
static int8_t scores[TVMGEN_KEYWORD_INT8_SCORES_SIZE];
static double workspace[TVMGEN_KEYWORD_INT8_WORKSPACE_SIZE / sizeof(double) + 2];

int main(void) {
  struct tvmgen_keyword_int8_inputs inputs = {spectrogram};
  struct tvmgen_keyword_int8_outputs outputs = {scores};
  struct tvmgen_keyword_int8_workspace_pools pools = {workspace};
  printf("%d", tvmgen_keyword_int8_run(&inputs, &outputs, &pools) == TVMGEN_KEYWORD_INT8_OK);
  inputs.spectrogram = NULL;
  return tvmgen_keyword_int8_run(&inputs, &outputs, &pools) !=
      TVMGEN_KEYWORD_INT8_ERROR_NULL_POINTER;
}
"""


@pytest.mark.parametrize("compiler", [C99, CXX11], ids=["c99", "c++11"])
def test_constant_inputs_need_no_cast(compiler, tmp_path):
    model = NativeModel(compile_to_files(KEYWORD), tmp_path)
    program = tmp_path / "use.c"
    program.write_text(USE)
    arguments = [*model.sources, str(program), "-lm", "-o", str(tmp_path / "use")]
    compile_c(compiler, model.root, arguments)
    done = subprocess.run([tmp_path / "use"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "1")


@pytest.mark.parametrize("simd", ["none", "dsp", "helium"])
@pytest.mark.parametrize("compiler", [C99, CXX11], ids=["c99", "c++11"])
def test_a_real_model_compiles_without_a_warning(compiler, simd, tmp_path):
    model = NativeModel(compile_to_files(KEYWORD, CompileOptions(simd=simd)), tmp_path)
    objects = tmp_path / "objects"
    objects.mkdir()
    for source in model.sources:
        arguments = ["-c", source, "-o", str(objects / f"{Path(source).stem}.o")]
        compile_c(compiler, model.root, arguments)


def test_no_name_ends_a_comment():
    text = comment(["a */ b", "#include <x> /* \n int é \0"])
    assert text.count("*/") == text.count("/*") == 1
    assert text.isascii()
    assert text.count("\n") == 4


def test_a_hostile_name_of_a_layer_stays_in_its_comment(tmp_path):
    name = "*/ int main(void) { return 1; } /*\n#error"
    model = two_by_two()
    model.tensors[-1] = Tensor(name, model.tensors[-1].shape)
    path = tmp_path / "net.tflite"
    path.write_bytes(model.to_bytes())
    for text in sources(path).values():
        without_strings = re.sub(r'"[^"\n]*"', "", text)
        assert "*/ int main" not in without_strings
        assert "\n#error" not in text


NARROW_SHIFT = re.compile(r"(?<![\w.(])\d+u? << |\(\d+u? << (?!\d+\b)")
"""A number of the type of int, shifted: that may have 16 bits."""


def test_no_number_is_shifted_as_an_int(keyword: dict[str, str]) -> None:
    assert NARROW_SHIFT.search("x * (1 << (shift - 1))")
    assert NARROW_SHIFT.search("= 1u << n")
    assert not NARROW_SHIFT.search("(INT32_C(1) << (shift0 - 1)) + (UINT32_C(1) << n)")
    texts = {**keyword, **{path.name: path.read_text() for path in KERNEL_INCLUDE.glob("*.h")}}
    for path, text in texts.items():
        if "helium" not in path and "dsp" not in path:  # of CPUs whose int has 32 bits
            assert not NARROW_SHIFT.search(text), path
