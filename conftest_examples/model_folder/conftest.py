"""Where the models are: `pytest --models=FOLDER`, or the examples' own."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "models"


def pytest_addoption(parser):
    parser.addoption("--models", type=Path, default=EXAMPLES, help="a folder of .tflite files")


def pytest_generate_tests(metafunc):
    """A test with the argument `model_path` runs for each model of the folder."""
    if "model_path" in metafunc.fixturenames:
        paths = sorted(metafunc.config.option.models.absolute().rglob("*.tflite"))
        metafunc.parametrize(
            "model_path",
            [pytest.param(path, marks=pytest.mark.microtvm_model(path)) for path in paths],
            ids=[path.stem for path in paths],
        )
