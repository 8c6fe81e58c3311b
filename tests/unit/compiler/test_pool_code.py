"""The C interface of models with pools: the same bytes, wherever the memory comes from."""

from __future__ import annotations

import ctypes
import functools
import json
import re
import subprocess
from pathlib import Path

import pytest

from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.compiler.bundle import bundle_files
from pytest_microtvm.compiler.pools import ConstantPoolInfo, Memory, WorkspacePoolInfo
from pytest_microtvm.errors import ConfigError, DoesNotFit, ModelError
from pytest_microtvm.mlf.library import ModelLibrary, open_libraries, open_library, write_library
from tests.unit.compiler.native import C99, CXX11, aligned, compile_c, guarded, is_untouched
from tests.unit.compiler.pool_program import (
    ALLOCATOR,
    INTERNAL,
    LINKER,
    open_files,
    random_inputs,
    run_on_host,
)
from tests.unit.compiler.tflite_models import Model, Tensor, add, running_sum, two_by_two

KEYWORD = Path(__file__).parents[3] / "conftest_examples" / "models" / "keyword_int8.tflite"

FAST = WorkspacePoolInfo("dtcm", 4096)
SLOW = WorkspacePoolInfo("sram")
TWO = Memory((FAST, SLOW))
INTERNAL_TWO = Memory(
    (WorkspacePoolInfo("dtcm", 4096, internal=True), WorkspacePoolInfo("sram", internal=True))
)
SPLIT = Memory((FAST, SLOW), (ConstantPoolInfo("weights", 2048),))
IO = Memory((FAST, SLOW), io_pool="sram")
EVERYTHING = Memory(
    (WorkspacePoolInfo("dtcm", 4096, internal=True), SLOW), (ConstantPoolInfo("itcm"),), "sram"
)


@functools.cache
def compiled(memory: Memory) -> dict[str, bytes]:
    return dict(compile_to_files(KEYWORD, CompileOptions(memory=memory)))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the program prints with one pool."""
    lines = run_on_host(compiled(Memory()), tmp_path_factory.mktemp("one"))
    assert lines[-1] == "status 0"
    return lines


CASES = {
    "linker": (TWO, LINKER),
    "allocator": (TWO, ALLOCATOR),
    "internal": (INTERNAL_TWO, INTERNAL),
    "one internal": (Memory((WorkspacePoolInfo("own", internal=True),)), INTERNAL),
    "split constants": (SPLIT, LINKER),
    "a pool of constants that nothing is left for": (
        Memory(constant_pools=(ConstantPoolInfo("weights"), ConstantPoolInfo("more"))),
        ALLOCATOR,
    ),
    "all constants": (Memory(constant_pools=(ConstantPoolInfo("weights"),)), LINKER),
    "inputs in a pool": (IO, LINKER),
    "inputs in the only pool": (Memory(io_pool="workspace"), ALLOCATOR),
    "inputs in an internal pool": (
        Memory((WorkspacePoolInfo("own", internal=True),), io_pool="own"),
        INTERNAL,
    ),
    "inputs alone in a pool": (
        Memory(
            (
                WorkspacePoolInfo("io", 656, read_bandwidth_bytes_per_cycle=1),
                WorkspacePoolInfo("sram", read_bandwidth_bytes_per_cycle=4),
            ),
            io_pool="io",
        ),
        LINKER,
    ),
    "inputs in an internal pool beside another": (
        Memory((WorkspacePoolInfo("own", internal=True), SLOW), io_pool="own"),
        LINKER,
    ),
    "everything": (EVERYTHING, ALLOCATOR),
}


@pytest.mark.parametrize("case", CASES)
def test_every_placement_gives_the_same_bytes(case: str, tmp_path: Path, expected: list[str]):
    memory, placement = CASES[case]
    files = compiled(memory)
    assert run_on_host(files, tmp_path / "c", placement) == expected
    # The executors of the runtime have one arena, and constants in flash.
    library, root = open_files(files, tmp_path / "executors")
    assert executed(library, root, tmp_path) == expected[:-1]


def executed(library: ModelLibrary, root: Path, directory: Path) -> list[str]:
    """What the function that executors call puts out, built as C99 and checked as C++11."""
    sources = [str(path) for path in sorted((root / "codegen/host/src").glob("*.c"))]
    compile_c([*CXX11, "-fsyntax-only"], root, sources)
    built = str(directory / "model.so")
    compile_c([*C99, "-fPIC", "-shared"], root, [*sources, "-lm", "-o", built])
    given = [
        aligned(spec, a) for spec, a in zip(library.inputs, random_inputs(library), strict=True)
    ]
    results = [aligned(spec, None) for spec in library.outputs]
    workspace, arena = guarded(library.workspace_bytes)
    pointers = [(ctypes.c_void_p * len(t))(*(a.ctypes.data for a in t)) for t in (given, results)]
    execute = getattr(ctypes.CDLL(built), f"tvmgen_{library.name}_execute")
    assert execute(*pointers, ctypes.c_void_p(arena)) == 0
    assert is_untouched(workspace)
    return [array.tobytes().hex() for array in results]


@pytest.mark.parametrize("memory", [TWO, SPLIT, IO, INTERNAL_TWO, EVERYTHING])
def test_what_is_planned_is_told(memory: Memory, tmp_path: Path):
    files = compiled(memory)
    library, root = open_files(files, tmp_path)
    by_name = {pool.name: pool for pool in library.pools}
    assert by_name["dtcm"].size_bytes <= 4096 == by_name["dtcm"].limit_bytes
    assert by_name["sram"].limit_bytes is None
    for pool in library.pools:
        assert pool.bound_bytes is not None
        assert 0 < pool.bound_bytes <= pool.size_bytes
    assert sum(pool.size_bytes for pool in library.pools) == library.workspace_bytes
    header = (root / "codegen/host/include/tvmgen_keyword_int8.h").read_text()
    macros = dict(re.findall(r"#define TVMGEN_KEYWORD_INT8_(\w+_POOL_SIZE) (\d+)", header))
    main = json.loads(files["metadata.json"])["modules"]["keyword_int8"]["memory"]["functions"][
        "main"
    ][0]
    entries = {**main["workspace_pools"], **main.get("constant_pools", {})}
    twins = {entry["macro"].partition("INT8_")[2]: entry["size"] for entry in entries.values()}
    assert {name: int(size) for name, size in macros.items()} == twins
    for entry in entries.values():
        assert f'"{entry["section"]}"' in header
        assert f"#define {entry['attribute_macro']} " in header


@pytest.mark.parametrize(
    ("memory", "written"),
    [
        (SPLIT, set()),
        (IO, set()),
        (INTERNAL_TWO, {"dtcm_memory", "sram_memory"}),
        (EVERYTHING, {"dtcm_memory"}),
    ],
)
def test_nothing_global_is_written_but_internal_pools(
    memory: Memory, written: set[str], tmp_path: Path
):
    _, root = open_files(compiled(memory), tmp_path)
    found = set()
    for source in sorted((root / "codegen/host/src").glob("*.c")):
        compile_c([*C99, "-c", "-fno-pic"], root, [str(source), "-o", str(tmp_path / "o.o")])
        symbols = subprocess.run(
            ["nm", tmp_path / "o.o"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
        found |= set(re.findall(r"^[0-9a-f]+ [bBdDC] (\S+)$", symbols, re.M))
        assert not re.search(r" U (malloc|free|calloc|realloc)$", symbols, re.M)
    assert found == written


def test_pools_of_constants_hold_what_the_archive_holds(tmp_path: Path):
    files = compiled(SPLIT)
    main = json.loads(files["metadata.json"])["modules"]["keyword_int8"]["memory"]["functions"][
        "main"
    ][0]
    entry = main["constant_pools"]["weights"]
    assert 0 < entry["size"] <= 2048
    header = files["codegen/host/include/tvmgen_keyword_int8_constants.h"].decode()
    text = header.partition(f"#define {entry['data_macro']} ")[2].partition("\n\n")[0]
    data = bytes(int(word) for word in re.findall(r"\d+", text))
    assert len(data) == entry["size"]
    assert len(entry["constants"]) > 1


def test_the_state_is_where_the_pools_are(tmp_path: Path):
    model = tmp_path / "stateful.tflite"
    model.write_bytes(running_sum().to_bytes())
    for internal in (False, True):
        memory = Memory((WorkspacePoolInfo("own", internal=internal),))
        files = compile_to_files(model, CompileOptions(memory=memory))
        _, root = open_files(files, tmp_path / str(internal))
        sources = [str(path) for path in sorted((root / "codegen/host/src").glob("*.c"))]
        for compiler in (C99, CXX11):
            compile_c([*compiler, "-c", "-fsyntax-only"], root, sources)
        header = (root / "codegen/host/include/tvmgen_stateful.h").read_text()
        assert ("tvmgen_stateful_reset(void);" in header) == internal
        assert ("void *state;" in header) != internal


def test_pools_that_are_too_small_are_refused_with_what_is_missing():
    with pytest.raises(DoesNotFit, match="too little room") as refused:
        compiled(Memory((WorkspacePoolInfo("dtcm", 1024), WorkspacePoolInfo("sram", 2048))))
    assert "bytes more" in refused.value.cure


def test_a_pool_must_not_have_the_macros_of_a_tensor(tmp_path: Path):
    path = tmp_path / "m.tflite"
    tensors = [Tensor("x_workspace_pool", [2]), Tensor("y", [2])]
    path.write_bytes(Model(tensors, [add([0, 0], 1)], [0], [1]).to_bytes())
    memory = Memory((WorkspacePoolInfo("x"),))
    with pytest.raises(ConfigError, match="those of the pool x") as refused:
        compile_to_files(path, CompileOptions(memory=memory))
    assert refused.value.cure == "choose another name for the pool"


def small(directory: Path, name: str, memory: Memory) -> ModelLibrary:
    """A model that keeps nothing and does little."""
    path = directory / f"{name}.tflite"
    path.write_bytes(two_by_two().to_bytes())
    archive = directory / f"{name}.tar"
    write_library(archive, compile_to_files(path, CompileOptions(memory=memory)))
    return open_library(archive)


def test_an_archive_of_several_models_has_what_each_of_them_has(tmp_path: Path):
    memory = Memory((WorkspacePoolInfo("sram"),), (ConstantPoolInfo("flash2"),))
    libraries = [small(tmp_path, name, memory) for name in ("one", "two")]
    write_library(tmp_path / "all.tar", bundle_files("all", libraries))
    again = open_libraries(tmp_path / "all.tar")
    assert [library.name for library in again] == ["one", "two"]
    assert [library.inputs for library in again] == [library.inputs for library in libraries]
    shared = again[0].metadata["shared"]
    largest = max(library.pools[0].size_bytes for library in libraries)
    assert shared["workspace_pools"]["sram"]["size"] == largest
    with pytest.raises(ModelError, match="holds 2 models, not one: one, two"):
        open_library(tmp_path / "all.tar")


def test_models_of_one_name_cannot_be_together(tmp_path: Path):
    library = small(tmp_path, "one", Memory())
    for name, libraries in (("all", [library, library]), ("ONE", [library])):
        with pytest.raises(ConfigError, match="are the same"):
            bundle_files(name, libraries)
