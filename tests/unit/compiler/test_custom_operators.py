"""Custom operators of TFLite models that a user registers by a Python file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flatbuffers import flexbuffers

from pytest_microtvm.compiler import CompileOptions, compile_key, compile_to_files, custom_check
from pytest_microtvm.errors import ConfigError, MicroTVMError, ModelError
from tests.unit.compiler.native import NativeModel
from tests.unit.compiler.tflite_models import Model, Operator, Tensor

CLIP = """
from pathlib import Path
import numpy as np
from pytest_microtvm import CustomOperator

def limit(call):
    if "limit" not in call.options:
        raise ValueError("it has no limit")
    return call.options["limit"]

CLIP = CustomOperator(
    name="AcmeClip",
    shapes=lambda call: [call.inputs[0].shape],
    code=lambda call: f'''
    for (int32_t i = 0; i < {np.prod(call.inputs[0].shape)}; ++i) {{
      output[i] = acme_clip(input0[i], {limit(call)}f);
    }}
    ''',
    files=(Path(__file__).with_name("acme_clip.c"),),
    reference=lambda call, arrays: [np.clip(arrays[0], -limit(call), limit(call))],
)
"""
CLIP_C = """
static float acme_clip(float value, float limit) {
  return value < -limit ? -limit : value > limit ? limit : value;
}
"""
ECHO = """
import numpy as np
from pytest_microtvm import CustomOperator

OPERATORS = None
ECHO = CustomOperator(
    name="AcmeEcho",
    shapes=lambda call: [call.inputs[0].shape],
    code=lambda call: '''
    int32_t *copy = (int32_t *)(void *)workspace;  /* of what was kept */
    #define KEPT 3
    for (int32_t i = 0; i < KEPT; ++i) {
      copy[i] = input0[i];
      output[i] = input1[i];
    }
    for (int32_t i = 0; i < 3; ++i) {
      output1[i] = (int16_t)(copy[i] + 1);
    }
    ''',
    states=lambda call: [np.array([7, 8, 9], np.int16)],
    workspace_bytes=lambda call: 12,
    reference=lambda call, arrays: [arrays[1], arrays[0] + np.int16(1)],
)
"""


def model_of(name: str, dtype: str = "FLOAT32", **options: Any) -> Model:
    """x -> the operator of x; [3]."""
    tensors = [Tensor("x", [3], dtype), Tensor("y", [3], dtype)]
    data = bytes(flexbuffers.Dumps(options)) if options else b""
    operator = Operator(f"CUSTOM {name}", [0], [1], custom_options=data)
    return Model(tensors, [operator], [0], [1])


@pytest.fixture
def compiled(tmp_path):
    def compile_model(model: Model, *files: str) -> NativeModel:
        (tmp_path / "acme_clip.c").write_text(CLIP_C)
        paths = []
        for number, text in enumerate(files):
            paths.append(tmp_path / f"operators{number}.py")
            paths[-1].write_text(text)
        (tmp_path / "m.tflite").write_bytes(model.to_bytes())
        options = CompileOptions(custom_operators=tuple(map(str, paths)))
        return NativeModel(compile_to_files(tmp_path / "m.tflite", options), tmp_path)

    return compile_model


def test_an_operator_is_a_shape_and_c_with_a_file(compiled):
    model = compiled(model_of("AcmeClip", limit=1.5), CLIP)
    x = np.array([-3, 1, 3], np.float32)
    np.testing.assert_array_equal(model(x)[0], [-1.5, 1, 1.5])
    assert (model.root / "codegen/host/include/acme_clip.c").is_file()


def test_the_registration_says_the_shapes(compiled):
    """Converters do not know them, and write others."""
    model = model_of("AcmeClip", limit=1.5)
    model.tensors[1] = Tensor("y", [1], "FLOAT32")
    found = compiled(model, CLIP)
    np.testing.assert_array_equal(found(np.array([-3, 1, 3], np.float32))[0], [-1.5, 1, 1.5])


def test_an_operator_keeps_a_state(compiled):
    model = compiled(model_of("AcmeEcho", "INT16"), ECHO, CLIP)
    for _ in range(2):
        assert model.reset() == 0
        np.testing.assert_array_equal(model(np.array([1, 2, 3], np.int16))[0], [7, 8, 9])
        np.testing.assert_array_equal(model(np.array([0, 0, 0], np.int16))[0], [2, 3, 4])


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        (model_of("AcmeClip"), CLIP, "CUSTOM AcmeClip (output 'y'): it has no limit"),
        (
            model_of("AcmeClip", limit=1.5),
            CLIP.replace("-limit(call), limit", "0, limit"),
            "AcmeClip: its kernel gives -0.13",
        ),
        (
            model_of("AcmeClip", limit=1.5),
            CLIP.replace("acme_clip(input0[i]", "acme_cut(input0[i]"),
            "AcmeClip: its C cannot be compiled",
        ),
        (
            model_of("AcmeClip", limit=1.5),
            CLIP.replace("{np.prod(call.inputs[0].shape)}", "4"),
            "AcmeClip: its kernel writes beyond its output 0",
        ),
        (
            model_of("AcmeClip", limit=1.5),
            CLIP.replace("reference=", "tolerance=float('inf'), reference="),
            "AcmeClip: its tolerance is inf",
        ),
        (model_of("AcmeCut", limit=1.5), CLIP, "register the operator AcmeCut"),
        (model_of("AcmeClip"), "x = 1", "defines no custom operator"),
        (model_of("AcmeClip"), "import nothing_there", "cannot be run for its custom operators"),
        (
            model_of("AcmeClip"),
            CLIP + "\nclip = CLIP\nTWICE = CustomOperator('AcmeClip', limit, limit)",
            "is registered twice, by ",
        ),
    ],
)
def test_what_is_wrong_is_told(model, text, message, compiled):
    with pytest.raises(MicroTVMError) as caught:
        compiled(model, text)
    assert message in caught.value.one_line()
    assert isinstance(caught.value, ConfigError | ModelError)


SHAPES = "[call.inputs[0].shape]"
LOOP = "for (int32_t"
BROKEN = [
    (SHAPES, "[(0,)]", "its shapes are [(0,)], not a list with a shape for each of 1 outputs"),
    (SHAPES, "[(3.5,)]", "its shapes are [(3.5,)], not"),
    (SHAPES, "None", "its shapes are None, not"),
    (SHAPES, "[call.options['x']]", "its function shapes fails: KeyError: 'x' (operators0.py, li"),
    ("shapes=lambda call: ", "shapes=lambda: ", "its function shapes fails: TypeError: "),
    ("code=lambda call: f", "code=lambda call: len(", "'(' was never closed (operators0.py, li"),
    ("shapes=lambda call: ", "shapes=", "NameError: name 'call' is not defined (operators0.py, l"),
    ("code=lambda call: ", "code=", "NameError: name 'call'"),
    ('name="AcmeClip"', "name=None", "the name of a CustomOperator is text, not None"),
    ("shapes=lambda call: ", "states=3, shapes=lambda call: ", "states of the CustomOperator 'Acm"),
    ("files=(", "files=str(", "files of the CustomOperator 'AcmeClip' is '"),
    ("reference=", "workspace_bytes=lambda call: -4, reference=", "its workspace_bytes are -4, no"),
    ("reference=", "states=lambda call: [['a']], reference=", "its states are [['a']], not a li"),
    ("import numpy as np", "import numpy as np\nraise SystemExit(3)", "SystemExit: 3 (operators0"),
    (LOOP, f"output[2000000] = 1; {LOOP}", "its kernel ended by signal SIGSEGV"),
    (LOOP, f"((float *)input0)[0] = 9; {LOOP}", "its kernel writes to its input 0"),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_a_wrong_registration_is_told(old, new, message, compiled):
    assert old in CLIP
    text = CLIP.replace(old, new)
    with pytest.raises(MicroTVMError) as caught:
        compiled(model_of("AcmeClip", limit=1.5), text)
    assert message in caught.value.one_line()
    assert isinstance(caught.value, ConfigError | ModelError)


def test_a_kernel_that_does_not_end_is_told(compiled, monkeypatch):
    monkeypatch.setattr(custom_check, "_RUN_TIMEOUT_S", 0.5)
    text = CLIP.replace(LOOP, f"for (;;) output[0] = 1; {LOOP}")
    with pytest.raises(ModelError, match="its kernel did not end within"):
        compiled(model_of("AcmeClip", limit=1.5), text)


def test_a_kernel_finds_no_zeros_in_its_memory(compiled):
    """As on a board: what it does not write is not zero there. Nor may it write beyond it."""
    asking = CLIP.replace("reference=", "workspace_bytes=lambda call: 4, reference=")
    text = asking.replace("output[i] = ", "output[i] = workspace[0] + ")
    with pytest.raises(ModelError, match="its kernel gives"):
        compiled(model_of("AcmeClip", limit=1.5), text)
    text = asking.replace(LOOP, f"workspace[4] = 0; {LOOP}")
    with pytest.raises(ModelError, match="its kernel writes beyond its workspace"):
        compiled(model_of("AcmeClip", limit=1.5), text)


def test_files_are_beside_the_python_file(compiled):
    text = CLIP.replace('Path(__file__).with_name("acme_clip.c")', '"acme_clip.c"')
    model = compiled(model_of("AcmeClip", limit=1.5), text)
    np.testing.assert_array_equal(model(np.array([-3, 1, 3], np.float32))[0], [-1.5, 1, 1.5])


def test_a_file_that_is_missing_is_told(tmp_path):
    (tmp_path / "m.tflite").write_bytes(model_of("AcmeClip").to_bytes())
    options = CompileOptions(custom_operators=(str(tmp_path / "operators.py"),))
    with pytest.raises(ConfigError, match=r"there is no file .*operators\.py"):
        compile_key(tmp_path / "m.tflite", options)
    (tmp_path / "operators.py").write_text(CLIP)
    with pytest.raises(ConfigError, match="which the custom operator 'AcmeClip' needs, cannot be"):
        compile_key(tmp_path / "m.tflite", options)


def test_another_file_compiles_the_model_anew(tmp_path: Path):
    model, file = tmp_path / "m.tflite", tmp_path / "operators.py"
    model.write_bytes(model_of("AcmeClip").to_bytes())
    (tmp_path / "acme_clip.c").write_text(CLIP_C)
    keys = set()
    for text in (CLIP, CLIP + "\n"):
        file.write_text(text)
        for c in (CLIP_C, CLIP_C + "\n"):
            (tmp_path / "acme_clip.c").write_text(c)
            keys.add(compile_key(model, CompileOptions(custom_operators=(str(file),))))
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ethos-u", "it is the code of an Ethos-U, made by Vela; give the model as it was before"),
        ("edgetpu-custom-op", "give the model as it was before edgetpu_compiler"),
        ("FlexErf", "convert the model with TFLITE_BUILTINS only, or register the operator FlexE"),
    ],
)
def test_what_nobody_can_register_has_a_cure_of_its_own(name, message, tmp_path):
    """The operator has scratch memory, which nothing writes, among its inputs."""
    tensors = [Tensor("x", [2]), Tensor("scratch", [4], "UINT8"), Tensor("y", [2])]
    model = Model(tensors, [Operator(f"CUSTOM {name}", [0, 1], [2])], [0], [2])
    (tmp_path / "m.tflite").write_bytes(model.to_bytes())
    with pytest.raises(ModelError) as caught:
        compile_to_files(tmp_path / "m.tflite")
    assert message in caught.value.one_line()
