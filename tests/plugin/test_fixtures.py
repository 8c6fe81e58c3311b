"""The `microtvm` fixture and the ones it is made of."""

import shutil

import pytest

from tests.plugin.running import MODELS
from tests.unit.compiler.tflite_models import two_signatures


@pytest.fixture
def models(workspace):
    directory = workspace / "models"
    directory.mkdir()
    for name in ("sine_int8", "motion_float32"):
        shutil.copy(MODELS / f"{name}.tflite", directory)
    return directory


@pytest.fixture
def write_test(workspace, models):
    def write(text, name="test_it.py"):
        header = "import numpy as np\nimport pytest\n\n"
        (workspace / name).write_text(header + text)

    return write


def test_a_test_runs_checks_and_measures(run_pytest, write_test):
    write_test("""
@pytest.mark.microtvm_model("models/motion_float32.tflite")
def test_motion(microtvm):
    inputs = {"gravity": np.zeros((1, 3), "float32"),
              "acceleration": np.ones((1, 32, 3), "float32")}
    microtvm.check(inputs)
    outputs = microtvm.run(inputs)
    assert sorted(outputs) == ["activity", "intensity"]
    assert outputs["activity"].shape == (1, 3)
    assert outputs["activity"].sum() == pytest.approx(1.0, abs=1e-5)
    assert microtvm.metrics.arena_bytes.value <= 32_000
    assert microtvm.metrics.latency_us.value > 0
    assert microtvm.metrics.latency_us.samples == 2
    microtvm.check()
""")
    outcome = run_pytest("-v", "--microtvm-board=host,qemu_x86", status=0)
    assert outcome.lines("test_it.py::test_motion[host-aot] PASSED")
    assert outcome.lines("test_it.py::test_motion[qemu_x86-aot] PASSED")
    assert [record["elements"] for record in outcome.records] == [8, 8]


def test_the_smaller_fixtures_fit_together(run_pytest, write_test):
    write_test("""
pytestmark = pytest.mark.microtvm_model("models/sine_int8.tflite")

def test_parts(microtvm, microtvm_board, microtvm_platform, microtvm_executor, microtvm_mlf,
               microtvm_project, microtvm_session):
    assert microtvm_board.name == "qemu_x86"
    assert microtvm_platform == "baremetal"
    assert microtvm_executor == "aot"
    assert microtvm_mlf.name == "sine_int8"
    assert microtvm_project.build_id == microtvm.firmware.build_id
    assert microtvm_session is microtvm.session
    inputs = {"x": np.zeros((1, 1), "int8")}
    assert microtvm_session.run(inputs)["y"].dtype == np.int8
""")
    assert "1 passed" in run_pytest("--microtvm-board=qemu_x86", status=0).summary


def test_tests_share_one_firmware_and_one_session(run_pytest, write_test):
    write_test("""
pytestmark = pytest.mark.microtvm_model("models/sine_int8.tflite")
sessions = []

@pytest.mark.parametrize("value", [0, 1, 2])
def test_value(microtvm, value):
    sessions.append(id(microtvm.session))
    microtvm.check(np.full((1, 1), value, "int8"))

def test_shared(microtvm):
    assert set(sessions) == {id(microtvm.session)}
    assert microtvm.metrics.latency_us.samples == 3
""")
    outcome = run_pytest("--microtvm-board=qemu_x86", status=0)
    assert "4 passed" in outcome.summary
    [record] = outcome.records
    assert record["elements"] == 3


def test_without_a_board_there_is_no_verdict(run_pytest, write_test):
    write_test("""
@pytest.mark.microtvm_model("models/sine_int8.tflite")
def test_sine(microtvm):
    raise AssertionError("ran")

def test_board(microtvm_board):
    raise AssertionError("ran")
""")
    outcome = run_pytest("-rs", status=0)
    assert "2 skipped" in outcome.summary
    assert outcome.lines("--microtvm-board=NAME")


def test_a_false_expectation_is_a_failure(run_pytest, write_test):
    write_test("""
@pytest.mark.microtvm_model("models/sine_int8.tflite")
def test_sine(microtvm):
    assert microtvm.run(np.zeros((1, 1), "int8"))["y"] == 99
""")
    outcome = run_pytest("--microtvm-board=host", status=1)
    assert "1 failed" in outcome.summary
    assert outcome.records[0]["outcome"] == "failed"


def test_a_marker_says_how_its_model_is_read(run_pytest, write_test, workspace):
    (workspace / "both.tflite").write_bytes(two_signatures().to_bytes())
    write_test("""
@pytest.mark.microtvm_model("both.tflite")
def test_sum(microtvm):
    found = microtvm.run({"a": np.ones((2, 3), "float32"), "b": np.ones((2, 3), "float32")})
    assert found["sum"].tolist() == [[2, 2, 2], [2, 2, 2]]

@pytest.mark.microtvm_model("both.tflite", signature="product",
                            input_shapes={"first": (4,), "second": [4]})
def test_product(microtvm):
    microtvm.check()
    x = np.arange(4, dtype="float32")
    assert microtvm.run({"first": x, "second": x})["product"].tolist() == [0, 1, 4, 9]
""")
    outcome = run_pytest("--microtvm-board=host", "--microtvm-reference=litert", status=0)
    assert "2 passed" in outcome.summary
    models = [record["model"] for record in outcome.records]
    assert models == ["both.tflite", "both.tflite[product;first:[4];second:[4]]"]
    checks = [record["model_check"] for record in outcome.records]
    assert checks == ["exact", "exact"]


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("def test_it(microtvm): pass", "names no model"),
        (
            "@pytest.mark.microtvm_model('models/sine_int8.tflite', shapes={'x': (1, 1)})\n"
            "def test_it(microtvm): pass",
            "takes input_shapes and signature beside the path",
        ),
        (
            "@pytest.mark.microtvm_model('models/sine_int8.tflite', signature='train')\n"
            "def test_it(microtvm): microtvm.library",
            "the model has no signature 'train'; name one of 'serving_default'",
        ),
        (
            "@pytest.mark.microtvm_model('models/none.tflite')\ndef test_it(microtvm): pass",
            "there is no model models/none.tflite",
        ),
        (
            "@pytest.mark.microtvm_model()\ndef test_it(microtvm): pass",
            "takes one path",
        ),
        (
            "@pytest.mark.microtvm_model('models/sine_int8.tflite')\n"
            "def test_it(microtvm): microtvm.run({'z': [1]})",
            "unknown tensor 'z'",
        ),
        (
            "@pytest.mark.microtvm_model('models/sine_int8.tflite')\n"
            "def test_it(microtvm): microtvm.check(np.zeros((1, 1), 'int8'), rtol=-1)",
            "rtol is -1; give a finite number of 0 or more",
        ),
    ],
)
def test_misuse_is_an_error_on_one_line(run_pytest, write_test, test, message):
    write_test(test)
    outcome = run_pytest("--microtvm-board=host", status=1)
    assert "1 error" in outcome.summary
    assert "failed" not in outcome.summary
    assert outcome.lines(message)
    assert "Traceback" not in outcome.output
    assert "pytest_microtvm/" not in outcome.output


def test_a_model_is_found_beside_the_test_or_below_the_root(run_pytest, workspace, write_test):
    (workspace / "deep").mkdir()
    write_test(
        """
@pytest.mark.microtvm_model("models/sine_int8.tflite")
def test_sine(microtvm):
    microtvm.check()
""",
        "deep/test_it.py",
    )
    run_pytest("--microtvm-board=host", status=0)


def test_models_take_real_numbers(run_pytest, write_test):
    write_test("""
@pytest.mark.microtvm_model("models/sine_int8.tflite")
def test_sine(microtvm):
    [x] = microtvm.library.inputs
    assert x.scale > 0
    assert -128 <= x.zero_point <= 127
    sine = microtvm.run_float([[np.pi / 2]])["y"]
    assert sine.dtype == np.float32
    assert sine[0, 0] == pytest.approx(1.0, abs=0.1)
    integers = np.round(np.full((1, 1), np.pi / 2) / x.scale) + x.zero_point
    [y] = microtvm.library.outputs
    again = microtvm.run(integers.astype("int8"))["y"]
    assert sine == ((again - y.zero_point) * y.scale).astype("float32")

@pytest.mark.microtvm_model("models/motion_float32.tflite")
def test_float(microtvm):
    inputs = {"gravity": np.zeros((1, 3)), "acceleration": np.ones((1, 32, 3))}
    outputs = microtvm.run_float(inputs)
    assert microtvm.library.outputs[0].scale is None
    assert outputs["activity"].dtype == np.float32
""")
    run_pytest("--microtvm-board=host", status=0)


def test_a_model_is_shared_by_fixtures_of_wider_scopes(run_pytest, write_test):
    write_test("""
@pytest.fixture(scope="module")
def sine(microtvm_models):
    return microtvm_models("models/sine_int8.tflite")

@pytest.fixture(scope="module")
def zero(sine):
    return sine.run(np.zeros((1, 1), "int8"))["y"].item()

@pytest.mark.parametrize("value", [-5, 0, 5])
def test_values(sine, zero, value):
    assert (sine.run(np.full((1, 1), value, "int8"))["y"].item() == zero) == (value == 0)

def test_check(sine, microtvm_models):
    assert microtvm_models("models/../models/sine_int8.tflite") is sine
    sine.check()

def test_fails(sine):
    assert sine.metrics.flash_bytes < 1

def test_other(microtvm_board):
    pass
""")
    outcome = run_pytest("-n2", "--microtvm-board=host,qemu_x86", status=1)
    assert "2 failed, 10 passed" in outcome.summary
    assert [record["board"] for record in outcome.records] == ["host", "qemu_x86"]
    for record in outcome.records:
        assert (record["verdict"], record["outcome"]) == ("match", "failed")
        tests = {test["id"].split("::")[1].split("[")[0]: test for test in record["tests"]}
        assert sorted(tests) == ["test_check", "test_fails", "test_values"]
        assert tests["test_check"]["outcome"] == "passed"
        assert len(record["tests"]) == 5


def test_hypothesis_draws_inputs_of_one_model(run_pytest, write_test):
    write_test("""
from hypothesis import given, settings, strategies

@settings(max_examples=10, deadline=None)
@given(value=strategies.integers(-128, 127))
def test_values(microtvm_models, value):
    microtvm_models("models/sine_int8.tflite").check(np.full((1, 1), value, "int8"))
""")
    [record] = run_pytest("--microtvm-board=host", status=0).records
    assert record["elements"] >= 2
    assert len(record["tests"]) == 1


def test_what_assert_shows_of_figures_is_short(run_pytest, write_test):
    write_test("""
@pytest.mark.microtvm_model("models/sine_int8.tflite")
def test_size(microtvm):
    assert microtvm.metrics.flash_bytes < 10_000
""")
    outcome = run_pytest("--microtvm-board=host", status=1)
    lines = [line for line in outcome.output.splitlines() if line.startswith("E  ")]
    assert len(lines) == 3
    assert lines[0].endswith(" bytes < 10000")
    assert max(map(len, lines)) < 100
