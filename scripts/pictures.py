"""Makes the pictures of the documentation anew, from real runs: `python -m scripts.pictures`.

The example models run on emulated boards. One of them is held to outputs that are wrong on purpose,
so that the report has a difference to draw. It takes Chromium and the extra `dev`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from playwright.sync_api import sync_playwright

from pytest_microtvm.command.main import main as microtvm

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
BOARDS = "qemu_x86,mps2_an386,mps3_an547,qemu_riscv32,host"
NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (16, 16, 24, 24, 32, 28)

TEST = """
import numpy as np
import pytest


@pytest.mark.microtvm_model("keyword_int8.tflite")
def test_keyword(microtvm):
    microtvm.check()


@pytest.mark.microtvm_model("keyword_int8.tflite")
@pytest.mark.microtvm_board(only="mps2_an386")
def test_small(microtvm):
    assert microtvm.metrics.arena_bytes.value <= 6_000
"""


def main() -> int:
    """Run the models and take the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "keyword-spotter"
        shutil.copytree(ROOT / "conftest_examples" / "models", folder)
        (folder / "test_keyword.py").write_text(TEST)
        executors = "--microtvm-executor=aot,graph"
        boards = f"--microtvm-board={BOARDS}"
        _run_pytest(folder, "--microtvm-html=report.html", boards, executors, ".")
        scores = np.array([[-127, -128, 100, -101]], np.int8)  # the third and fourth are wrong
        np.savez(folder / "wrong.npz", scores=scores)
        reference = "--microtvm-reference=wrong.npz"
        model = "keyword_int8.tflite"
        _run_pytest(
            folder,
            "--microtvm-html=difference.html",
            "--microtvm-board=mps2_an386",
            reference,
            model,
        )
        _write_nights(folder)
        microtvm(["report", str(folder / "nightly"), "--html", str(folder / "trends.html")])
        _take_pictures(folder)
    return 0


def _run_pytest(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:html"]
    subprocess.run([*command, *arguments], cwd=folder, check=False)  # some tests fail on purpose


def _write_nights(folder: Path) -> None:
    """A folder of runs of a model whose hidden layer grows."""
    for night, width in enumerate(WIDTHS, 1):
        onnx.save(_network(width), folder / "sine.onnx")
        records = f"--microtvm-json=nightly/2030-01-{night:02}.json"
        _run_pytest(folder, "--microtvm-board=mps2_an386,mps3_an547", records, "sine.onnx")


def _network(width: int) -> onnx.ModelProto:
    """A network of one hidden layer, with made-up weights."""
    random = np.random.default_rng(width)
    constants = {"first": random.normal(size=(1, width)), "last": random.normal(size=(width, 1))}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "first"], ["product"]),
            helper.make_node("Relu", ["product"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "last"], ["y"]),
        ],
        "sine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def _take_pictures(folder: Path) -> None:
    program = next(filter(None, map(shutil.which, NAMES)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, scheme, size, part in (
            ("report", "light", (1280, 1000), None),
            ("report", "dark", (1280, 1000), None),
            ("report", "phone", (390, 844), None),
            ("difference", "light", (1280, 1000), "#detail"),
            ("trends", "light", (1280, 1000), None),
        ):
            page = browser.new_page(
                viewport={"width": size[0], "height": size[1]},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.goto((folder / f"{name}.html").as_uri())
            page.wait_for_selector("html[data-drawn=yes]")
            path = PICTURES / (f"{name}.png" if scheme == "light" else f"{name}-{scheme}.png")
            if part is None:
                page.screenshot(path=path)
            else:
                page.locator(part).screenshot(path=path)
            page.close()
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
