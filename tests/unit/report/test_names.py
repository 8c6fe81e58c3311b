"""What reports call models."""

from pytest_microtvm.report.names import short_names


def test_models_of_one_name_have_as_many_folders_as_tell_them_apart():
    names = short_names(["a/x/net.tflite", "b/x/net.tflite", "other.onnx"])
    assert list(names.values()) == ["a/x/net.tflite", "b/x/net.tflite", "other.onnx"]


def test_a_name_stays_on_its_line():
    assert short_names(["a/1 passed\n\x1b[A.tflite"]) == {
        "a/1 passed\n\x1b[A.tflite": "1 passed\\n\\x1b[A.tflite"
    }
