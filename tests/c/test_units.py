"""The parts of the runtime by themselves."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.c.toolchain import PROGRAMS_DIR, RUNTIME_DIR, build_program


def test_units(sanitized_runtime: Path, tmp_path: Path) -> None:
    sources = [PROGRAMS_DIR / "unit_test.c"]
    program = build_program(sources, sanitized_runtime, tmp_path / "unit_test")
    completed = subprocess.run([program], capture_output=True, text=True, timeout=10)
    assert (completed.returncode, completed.stderr) == (0, "")


def test_cycles_are_counted_by_the_registers_of_a_dwt(
    sanitized_runtime: Path, tmp_path: Path
) -> None:
    sources = [PROGRAMS_DIR / "cycles_test.c"]
    program = build_program(sources, sanitized_runtime, tmp_path / "cycles_test")
    completed = subprocess.run([program], capture_output=True, text=True, timeout=10)
    assert (completed.returncode, completed.stderr) == (0, "")


def test_every_status_has_a_number_and_a_string_of_its_own() -> None:
    declared = re.findall(
        r"^  (kMicroTVM\w+) = (-?\d+),",
        (RUNTIME_DIR / "include/microtvm/status.h").read_text(),
        re.M,
    )
    described = re.findall(
        r"case (kMicroTVM\w+):\n      return TEXT\((\"[^\"]+\")\);",
        (RUNTIME_DIR / "src/status.c").read_text(),
    )
    assert len(declared) > 20
    assert [name for name, _ in described] == [name for name, _ in declared]
    assert len({number for _, number in declared}) == len(declared)
    assert len({string for _, string in described}) == len(described)
