"""Integer kernels on a board of each architecture, against LiteRT's reference kernels."""

import pytest

from tests.operators.generators import cases
from tests.operators.packs import packed

BOARDS = ("qemu_x86", "mps2_an385", "mps2_an386", "mps3_an547", "qemu_cortex_r5", "qemu_riscv32")
CASES = 46
"""Every generator has its turn, and the more frequent ones several."""


@pytest.mark.parametrize("executor", ["aot", "graph"])
def test_a_part_of_the_operators_gives_the_reference_s_bytes(run_pytest, workspace, executor):
    (workspace / "pack.tflite").write_bytes(packed(cases(1, CASES)))
    boards = BOARDS if executor == "aot" else BOARDS[:1]
    outcome = run_pytest(
        "pack.tflite",
        f"--microtvm-board={','.join(boards)}",
        f"--microtvm-executor={executor}",
        "--microtvm-reference=litert",
        status=0,
    )
    assert [record["board"] for record in outcome.records] == list(boards)
    assert all(record["mismatched"] == 0 for record in outcome.records)
    assert {record["elements"] > 1000 for record in outcome.records} == {True}
