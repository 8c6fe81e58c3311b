"""What another package adds to the compiler: a front end, an operator, kernels of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.mlf.library import extract_library
from tests.unit.compiler.tflite_models import Model, Operator, Tensor

OUTSIDE = Path(__file__).with_name("outside")
ENTRY_POINTS = """\
[pytest_microtvm.front_ends]
acme = acme_microtvm:import_acme
[pytest_microtvm.operators]
abs = acme_microtvm:ABS
[pytest_microtvm.custom_operators]
negated = acme_microtvm:NEGATED
[pytest_microtvm.cpu_extensions]
acme9000 = acme_microtvm:EXTENSION
[pytest_microtvm.external_kernels]
acme_npu = acme_microtvm:NPU
"""
BOARD = """\
name = "{name}"
platform = "host"
[cpu]
arch = "host"
simd = "{simd}"
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder like site-packages with another package in it."""
    folder = tmp_path / "site"
    shutil.copytree(OUTSIDE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    info = folder / "acme_microtvm-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-microtvm\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture
def run_outside(run_pytest, workspace, installed, tmp_path):
    """Run models of another package's format on a board of its CPU, and of none."""

    def run(*arguments, status):
        for name, simd in (("acme_board", "acme9000"), ("plain_board", "none")):
            (workspace / f"{name}.toml").write_text(BOARD.format(name=name, simd=simd))
        return run_pytest(
            *arguments,
            f"--microtvm-boards-dir={workspace}",
            cache=tmp_path / "cache",
            env={"PYTHONPATH": f"{installed}:{Path(__file__).parents[2]}"},
            status=status,
        )

    return run


def write_model(path: Path, size: int) -> None:
    path.write_text(f'{{"size": {size}, "scale": 0.5, "zero_point": 3}}')


def kernels(cache: Path) -> list[str]:
    """Of each archive that was compiled, the kernels and the other package's files."""
    found = []
    for number, path in enumerate((cache / "mlf").rglob("model.tar")):
        folder = cache.parent / f"archive{number}"
        extract_library(path, folder)
        paths = [*folder.rglob("*_lib0.c"), *folder.rglob("acme_*")]
        found.append("\n".join(path.read_text() for path in paths))
        shutil.rmtree(folder)
    return sorted(found, key=len)


def test_a_package_adds_a_front_end_an_operator_and_a_cpu(run_outside, workspace, tmp_path):
    write_model(workspace / "WIDE.ACME", 8)
    outcome = run_outside(
        workspace / "WIDE.ACME", "--microtvm-board=acme_board,plain_board", status=0
    )
    assert "2 passed" in outcome.summary
    # The operator is computed over integers: nothing warns of floats, and no kernel has any.
    assert not outcome.lines("float32")
    texts = kernels(tmp_path / "cache")
    assert len(texts) == 2
    assert not any("float " in text for text in texts)
    # The CPU's kernel with its own header on one board, the portable one on the other.
    assert ["acme_abs(value)" in text for text in texts] == [False, True]
    assert "ACME_ABS_H_" in texts[1]


def test_a_kernel_that_declines_leaves_a_spec_to_the_portable_one(run_outside, workspace, tmp_path):
    write_model(workspace / "odd.acme", 7)
    run_outside(workspace, "--microtvm-board=acme_board", status=0)
    [text] = kernels(tmp_path / "cache")
    assert "value < 0 ? -value : value" in text
    assert "acme_abs" not in text


def test_another_version_of_the_package_compiles_anew(run_outside, workspace, installed, tmp_path):
    write_model(workspace / "model.acme", 8)
    for _ in range(2):
        outcome = run_outside(workspace, "--microtvm-board=acme_board", status=0)
    assert outcome.records[0]["cached"]["mlf"] is True
    source = installed / "acme_microtvm.py"
    source.write_text(source.read_text().replace('"acme_abs(value)"', '"acme_abs(+value)"'))
    outcome = run_outside(workspace, "--microtvm-board=acme_board", status=0)
    assert outcome.records[0]["cached"]["mlf"] is False
    assert any("acme_abs(+value)" in text for text in kernels(tmp_path / "cache"))


def test_a_model_without_the_package_is_refused(run_pytest, workspace):
    write_model(workspace / "model.acme", 8)
    outcome = run_pytest(workspace / "model.acme", "--microtvm-board=host", status=4)
    assert "model.acme" in outcome.output


def test_a_package_adds_a_custom_operator(run_outside, workspace):
    tensors = [Tensor("x", [3]), Tensor("y", [3])]
    model = Model(tensors, [Operator("CUSTOM AcmeNegated", [0], [1])], [0], [1])
    (workspace / "negated.tflite").write_bytes(model.to_bytes())
    np.savez(workspace / "x.npz", x=np.array([1, -2, 3], np.float32))
    np.savez(workspace / "y.npz", y=np.array([-1, 2, -3], np.float32))
    outcome = run_outside(
        "negated.tflite",
        "--microtvm-board=host",
        "--microtvm-inputs=x.npz",
        "--microtvm-reference=y.npz",
        status=0,
    )
    assert "1 passed" in outcome.summary


def test_an_accelerator_has_the_layers_of_boards_that_name_it(run_outside, workspace, tmp_path):
    """On an emulated Cortex-M4; the accelerator gives zeros where its hooks are not in order."""
    board = load_boards()["mps2_an386"].path
    assert board is not None
    text = board.read_text().replace('"mps2_an386"', '"npu_board"')
    text = text.replace("[cpu]\n", '[cpu]\nexternal = "acme_npu"\n')
    (workspace / "npu_board.toml").write_text(text)
    write_model(workspace / "model.acme", 8)
    outcome = run_outside(
        workspace / "model.acme",
        "--microtvm-board=npu_board,plain_board",
        "--microtvm-executor=aot,graph",
        status=0,
    )
    assert "4 passed" in outcome.summary
    ours, theirs = kernels(tmp_path / "cache")
    assert "AcmeNpuAbs" not in ours
    assert "  AcmeNpuAbs(device, input, output, 8, 3);\n" in theirs
    assert "int32_t TVMDeviceAcmeNpuActivate(void *context) {" in theirs


def test_a_board_that_names_an_accelerator_that_is_not_there_is_refused(run_pytest, workspace):
    text = BOARD.format(name="npu_board", simd="none") + 'external = "acme_npu"\n'
    (workspace / "npu_board.toml").write_text(text)
    outcome = run_pytest(
        "--microtvm-board=npu_board", f"--microtvm-boards-dir={workspace}", status=4
    )
    assert "cpu.external must be one of cmsis_nn" in outcome.output
