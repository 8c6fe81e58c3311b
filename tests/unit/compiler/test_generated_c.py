"""Generated C as a firmware engineer reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.compiler.emit.literals import comment
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


def test_kernels_of_tvm_have_comments_and_names_too():
    [dense] = [each for each in kernels(sources(MOTION)) if "matmul_add_relu, as TVM" in each[0]]
    assert "input: float32 1 x 99" in dense[0]
    assert "constant0: float32 99 x 48" in dense[0]
    assert re.findall(r"(\w+)[,)]", dense[1]) == ["input", "constant0", "constant1", "output"]


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
