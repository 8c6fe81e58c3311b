"""Models that are run by a context, and functions that are found by name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.compiler.pools import Memory, WorkspacePoolInfo
from pytest_microtvm.mlf.library import ModelLibrary
from scripts.benchmarks.dispatch import MAX_FLASH_BYTES, MAX_INSTRUCTIONS, costs
from tests.unit.compiler.native import C99, CXX11, compile_c
from tests.unit.compiler.pool_program import open_files
from tests.unit.compiler.tflite_models import running_sum

MODEL = Path(__file__).parents[3] / "conftest_examples" / "models" / "motion_float32.tflite"
POOLS = Memory((WorkspacePoolInfo("fast", 256), WorkspacePoolInfo("slow")))

BY_CONTEXT = """\
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <microtvm/context.h>
#include "tvmgen_m.h"

static float gravity[TVMGEN_M_GRAVITY_SIZE / 4] = {0.5f, 0.25f};
static float acceleration[TVMGEN_M_ACCELERATION_SIZE / 4] = {1.0f, -1.0f};
static float direct[1], dispatched[1], activity[TVMGEN_M_ACTIVITY_SIZE / 4];
TVMGEN_M_FAST_WORKSPACE_POOL_ATTRIBUTE static uint8_t fast[TVMGEN_M_FAST_WORKSPACE_POOL_SIZE];
TVMGEN_M_SLOW_WORKSPACE_POOL_ATTRIBUTE static uint8_t slow[TVMGEN_M_SLOW_WORKSPACE_POOL_SIZE];

int main(void) {
  struct tvmgen_m_inputs inputs;
  struct tvmgen_m_outputs outputs;
  struct tvmgen_m_workspace_pools pools;
  inputs.gravity = gravity;
  inputs.acceleration = acceleration;
  outputs.intensity = direct;
  outputs.activity = activity;
  pools.fast = fast;
  pools.slow = slow;
  direct[0] = -1.0f;
  if (tvmgen_m_run(&inputs, &outputs, &pools) != 0 || direct[0] < 0.0f) {
    return 1;
  }
  struct TVMContext context = {{NULL}, NULL, 0};
  const void *given[] = {gravity, acceleration};
  void *results[] = {dispatched, activity};
  void *workspaces[] = {fast, slow};
  TVMSetWorkspaces(&context, workspaces);
  if (TVMExecute(&tvmgen_m, given, results, &context) != 0 || TVMGetLastError()[0] != '\\0' ||
      memcmp(direct, dispatched, sizeof(direct)) != 0) {
    return 2;
  }
  memset(dispatched, 0, sizeof(dispatched));
  outputs.intensity = dispatched;
  TVMSetWorkspaces(&context, &pools);
  if (TVMExecute(&tvmgen_m, &inputs, &outputs, &context) != 0 ||
      memcmp(direct, dispatched, sizeof(direct)) != 0) {
    return 3;
  }
  printf("%s %d %d %d %d\\n", tvmgen_m.name, tvmgen_m.num_inputs, tvmgen_m.num_outputs,
         tvmgen_m.num_workspaces, tvmgen_m.num_devices);
  workspaces[1] = NULL;
  TVMSetWorkspaces(&context, workspaces);
  const int first = (int)TVMExecute(&tvmgen_m, given, results, &context);
  printf("%d %s\\n", first, TVMGetLastError());
  const int second = (int)TVMExecute(NULL, given, results, NULL);
  printf("%d %s\\n", second, TVMGetLastError());
  return TVMExecute(&tvmgen_m, given, results, NULL) == 0;
}
"""

IN_SEQUENCES = """\
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <microtvm/context.h>
#include "tvmgen_m.h"

static uint8_t state[64];

int main(void) {
  const float x[3] = {1.0f, 1.0f, 1.0f};
  float after[3];
  const void *given[] = {x};
  void *results[] = {after};
  void *workspaces[] = {NULL, state};
  struct TVMContext context = {{NULL}, NULL, 0};
  TVMSetWorkspaces(&context, workspaces);
  memset(state, 0x5A, sizeof(state));
  for (int sequence = 0; sequence < 2; ++sequence) {
    if (TVMReset(&tvmgen_m, &context) != 0) {
      return 1;
    }
    for (int step = 0; step < 3; ++step) {
      if (TVMExecute(&tvmgen_m, given, results, &context) != 0) {
        return 2;
      }
      printf("%d ", (int)after[0]);
    }
  }
  const int failed = (int)TVMReset(NULL, &context);
  printf("%d %d %s\\n", (int)tvmgen_m.num_workspaces, failed, TVMGetLastError());
  return (TVMReset(&tvmgen_m, NULL) == 0) == (tvmgen_m.num_workspaces > 0);
}
"""

BY_NAME = """\
#include <stdio.h>
#include <microtvm/functions.h>
extern const TVMFuncRegistry tvmgen_m_functions;
int main(int count, char **names) {
  for (int i = 1; i < count; ++i) {
    uint32_t index = 0;
    TVMFunc found;
    if (TVMFuncRegistry_Lookup(&tvmgen_m_functions, names[i], &index) != 0) {
      puts("none");
    } else if (TVMFuncRegistry_GetByIndex(&tvmgen_m_functions, index, &found) == 0) {
      printf("%s %d %d\\n", found.name, (int)found.kind,
             (found.function != NULL) - (found.data != NULL));
    }
  }
  TVMFunc beyond;
  return TVMFuncRegistry_GetByIndex(&tvmgen_m_functions, tvmgen_m_functions.num_funcs, &beyond) + 1;
}
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelLibrary, Path]:
    files = compile_to_files(MODEL, CompileOptions("m", memory=POOLS))
    return open_files(files, tmp_path_factory.mktemp("dispatch"))


def build(root: Path, text: str, *flags: str) -> Path:
    """A program with everything of an archive that needs no memory."""
    (root / "main.c").write_text(text)
    sources = [root / "main.c", *sorted((root / "codegen/host/src").glob("*.c"))]
    sources += [root / "runtime/src" / name for name in ("context.c", "functions.c")]
    names = list(map(str, sources))
    compile_c([*CXX11, "-fsyntax-only"], root, names[1:-2])
    sections = ["-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]
    compile_c([*C99, *sections, *flags], root, [*names, "-lm", "-o", str(root / "program")])
    return root / "program"


def test_a_context_runs_a_model_as_its_own_function_does(unpacked: tuple[ModelLibrary, Path]):
    _, root = unpacked
    program = build(root, BY_CONTEXT)
    done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=30)
    null = "-1 a pointer to a struct, a tensor or a pool is null"
    assert done.stdout.splitlines() == ["m 2 2 2 0", null, null]
    symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    assert " tvmgen_m\n" in symbols
    assert "tvmgen_m_functions" not in symbols
    assert "tvmgen_m_graph" not in symbols


@pytest.mark.parametrize("is_internal", [False, True])
def test_a_context_begins_sequences(is_internal: bool, tmp_path: Path) -> None:
    """Where the library has its pools inside, it has the state as well."""
    (tmp_path / "sum.tflite").write_bytes(running_sum().to_bytes())
    memory = Memory((WorkspacePoolInfo("inside", internal=True),) if is_internal else ())
    options = CompileOptions("m", memory=memory)
    _, root = open_files(compile_to_files(tmp_path / "sum.tflite", options), tmp_path / "m")
    program = build(root, IN_SEQUENCES)
    done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=30)
    null = "-1 a pointer to a struct, a tensor or a pool is null"
    assert done.stdout == f"2 3 4 2 3 4 {0 if is_internal else 2} {null}\n"


def test_every_function_is_found_by_its_name(unpacked: tuple[ModelLibrary, Path]):
    library, root = unpacked
    kernels = [kernel.name for kernel in library.kernels]
    wanted = {"tvmgen_m_run": "0 1", "tvmgen_m_model": "2 -1", "tvmgen_m_graph": "2 -1"}
    wanted |= dict.fromkeys(kernels, "1 1")
    missing = ["", "tvmgen_m_ru", "tvmgen_m_runs", "a", "z", "\xff"]
    program = build(root, BY_NAME)
    done = subprocess.run(
        [program, *wanted, *missing], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.splitlines() == [
        *(f"{name} {kind}" for name, kind in wanted.items()),
        *["none"] * len(missing),
    ]
    table = (root / "codegen/host/src/m_functions.c").read_text()
    names = re.findall(r'^    \{"(\w+)"', table, re.M)
    assert sorted(names, key=str.encode) == names
    assert set(names) == set(wanted)


def test_a_run_by_a_context_costs_little() -> None:
    direct, dispatched = costs()
    assert 0 < dispatched.instructions - direct.instructions <= MAX_INSTRUCTIONS
    assert 0 < dispatched.flash - direct.flash <= MAX_FLASH_BYTES
