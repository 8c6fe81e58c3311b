"""The base of the make platforms: archives, definitions, and what a failed build is reported as."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.project import server
from pytest_microtvm.project.server import make_project
from pytest_microtvm.project.server.archive import GraphCounts, extract_codegen
from pytest_microtvm.project.server.definitions import split_definitions
from pytest_microtvm.project.server.make_project import build_failure, for_shell
from pytest_microtvm.project.server.microcontroller import MicrocontrollerHandler
from tests.contract.libraries import DOUBLE, FloatModel, write_archive

BOARD: dict[str, Any] = {
    "name": "demo",
    "memory": [{"name": "ram", "kind": "ram", "origin": 0, "bytes": 1000}],
}


def test_metadata_of_a_library(tmp_path: Path) -> None:
    path = FloatModel("m", "", count=3, workspace_bytes=100, constants_bytes=7).write(
        tmp_path / "m.tar"
    )
    assert server.ModelMetadata.read(path) == server.ModelMetadata(
        name="m", workspace_bytes=100, constants_bytes=7, tensors=2, io_bytes=32
    )


GRAPH = """{"nodes": [{"op": "null", "inputs": []},
    {"op": "tvm_op", "inputs": [[0, 0, 0], [0, 0, 0]], "attrs": {"num_outputs": "2"}},
    {"op": "tvm_op", "inputs": [[1, 1, 0]], "attrs": {"num_outputs": "1"}}],
    "node_row_ptr": [0, 1, 3, 4]}"""


def model(graph: GraphCounts | None) -> server.ModelMetadata:
    return server.ModelMetadata(
        name="m",
        workspace_bytes=100,
        constants_bytes=0,
        tensors=2,
        io_bytes=64,
        scratch_bytes=20,
        graph=graph,
    )


def test_counts_what_the_graph_executor_has_to_hold() -> None:
    counts = GraphCounts.of(json.loads(GRAPH))
    assert counts == GraphCounts(nodes=3, entries=4, steps=2, arguments=6, widest_step=4)
    handler = server.MakeProjectHandler(__file__)
    assert handler.executor_values(model(counts), "graph") == {
        "MICROTVM_EXECUTOR_GRAPH": "1",
        "MICROTVM_POOL_BYTES": "0u",
        "MICROTVM_GRAPH": "tvmgen_m_graph",
        "MICROTVM_GRAPH_NODES": "3u",
        "MICROTVM_GRAPH_ENTRIES": "4u",
        "MICROTVM_GRAPH_STEPS": "2u",
        "MICROTVM_GRAPH_ARGUMENTS": "6u",
    }


def test_a_host_that_drives_has_a_pool() -> None:
    handler = server.MakeProjectHandler(__file__)
    macros = handler.executor_values(model(GraphCounts(0, 0, 0, 0, 0)), "host_driven")
    assert macros["MICROTVM_EXECUTOR_HOST_DRIVEN"] == "1"
    # Arena, tensors, scratch memory, and 16 bytes for each block of them and for 8 more.
    assert macros["MICROTVM_POOL_BYTES"] == f"{112 + 64 + 32 + 16 * (1 + 2 + 1 + 8)}u"


def test_only_the_call_plan_does_without_a_graph() -> None:
    handler = server.MakeProjectHandler(__file__)
    assert "MICROTVM_GRAPH" not in handler.executor_values(model(None), "aot")
    for executor in ("graph", "host_driven"):
        with pytest.raises(server.ProjectError, match=f"no graph, which the executor {executor}"):
            handler.executor_values(model(None), executor)


@pytest.mark.parametrize("graph", ["{", "[]", '{"nodes": [1], "node_row_ptr": []}'])
def test_a_bad_graph(tmp_path: Path, graph: str) -> None:
    path = FloatModel("m", "", count=3).write(tmp_path / "m.tar")
    with tarfile.open(path) as tar:
        content = {
            member.name: file.read().decode() for member in tar if (file := tar.extractfile(member))
        }
    content["./executor-config/graph/m.graph"] = graph
    with pytest.raises(server.ProjectError, match=r"m\.tar is not a usable MLF archive"):
        server.ModelMetadata.read(write_archive(tmp_path / "m.tar", content))


def test_the_memory_of_a_model_depends_on_its_executor() -> None:
    model = server.ModelMetadata(
        name="m",
        workspace_bytes=64,
        constants_bytes=0,
        tensors=2,
        io_bytes=32,
        scratch_bytes=5,
        graph=GraphCounts(nodes=9, entries=10, steps=3, arguments=7, widest_step=4),
    )
    assert model.ram_bytes("aot", 4) == 64 + 32
    # A step takes 12 bytes (24), an argument a pointer; the start needs more than the arena has.
    assert model.ram_bytes("graph", 4) == (10 * 8 + 10 * 4) + 32 + (3 * 12 + 7 * 4)
    assert model.ram_bytes("graph", 8) == (10 * 16 + 10 * 4) + 32 + (3 * 24 + 7 * 8)
    # Twelve blocks, each behind 16 bytes.
    assert model.ram_bytes("host_driven", 4) == 64 + 32 + 16 + 12 * 16


@pytest.mark.parametrize(
    "metadata",
    [
        "no json",
        "[]",
        '{"modules": {}}',
        '{"modules": {"a": {}, "b": {}}}',
        '{"modules": {"m": {"model_name": "m", "memory": {"functions": {"main": []}}}}}',
        '{"modules": {"m": {"model_name": "#error", "memory": {"functions": {"main": [{"inputs": '
        '{}, "outputs": {}, "workspace_size_bytes": 0, "constants_size_bytes": 0}]}}}}}',
    ],
)
def test_bad_metadata(tmp_path: Path, metadata: str) -> None:
    path = write_archive(tmp_path / "m.tar", {"metadata.json": metadata})
    with pytest.raises(server.ProjectError, match=r"m\.tar is not a usable MLF archive"):
        server.ModelMetadata.read(path)


def test_no_metadata_and_no_archive(tmp_path: Path) -> None:
    with pytest.raises(server.ProjectError, match=r"no metadata\.json"):
        server.ModelMetadata.read(write_archive(tmp_path / "m.tar", {}))
    (tmp_path / "m.tar").write_text("not a tar")
    with pytest.raises(server.ProjectError, match="not a usable MLF"):
        server.ModelMetadata.read(tmp_path / "m.tar")


def odd_member(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = "/etc/passwd"
    return member


@pytest.mark.parametrize(
    "member",
    [
        odd_member("codegen/../../evil", tarfile.REGTYPE),
        odd_member("codegen/link", tarfile.SYMTYPE),
        odd_member("codegen/hard", tarfile.LNKTYPE),
        odd_member("codegen/dev", tarfile.CHRTYPE),
        odd_member("codegen/fifo", tarfile.FIFOTYPE),
    ],
    ids=lambda member: member.name,
)
def test_hostile_members(tmp_path: Path, member: tarfile.TarInfo) -> None:
    path = write_archive(tmp_path / "m.tar", {}, [member])
    with pytest.raises(server.ProjectError, match="not allowed"):
        extract_codegen(path, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_only_codegen_is_unpacked(tmp_path: Path) -> None:
    path = DOUBLE.write(tmp_path / "m.tar")
    extract_codegen(path, tmp_path / "out")
    files = sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.*"))
    assert [str(f) for f in files] == [
        "codegen/host/include/tvmgen_double_it.h",
        "codegen/host/src/double_it_lib0.c",
        "codegen/host/src/double_it_model.c",
    ]


def test_definitions() -> None:
    assert split_definitions([]) == ([], "")
    assert split_definitions("-DA -DB='1 2'") == (["-DA", "-DB=1 2"], "")
    assert split_definitions(["-DMICROTVM_BUILD_ID=ab12", "-DA=1"]) == (["-DA=1"], "ab12")
    assert split_definitions(['-DMICROTVM_BUILD_ID="ab12"']) == ([], "ab12")
    for wrong in ("-O3", "-D", "-D1=2", "-DMICROTVM_BUILD_ID=a b", "-DMICROTVM_BUILD_ID="):
        with pytest.raises(server.OptionError):
            split_definitions([wrong])


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (
            "ld: fw section `.bss' will not fit in region `ram'\n"
            "ld: region `ram' overflowed by 24 bytes\n",
            "firmware too large: needs 1024 bytes of ram, demo has 1000",
        ),
        (
            "gcc: noise\na/b.c: In function 'f':\na/b.c:3:7: error: 'x' undeclared\nmake: ***\n",
            "the firmware does not build: a/b.c:3:7: error: 'x' undeclared",
        ),
        ("a.S:83: Error: bad expression\n", "the firmware does not build: a.S:83: Error: bad"),
        (
            "ld: build/x.o: in function `f':\nx.c:3: undefined reference to `g'\n",
            "undefined reference to `g'",
        ),
        ("make: *** No rule\n", "the firmware does not build: make failed"),
        (
            "a.c:9:1: error: noise\nas: a.s: can't write: No space left on device\n",
            "the firmware does not build: as: a.s: can't write: No space left on device",
        ),
    ],
)
def test_build_failures(output: str, expected: str) -> None:
    error = build_failure(BOARD, output)
    assert expected in str(error)
    assert "\n" not in str(error)
    assert error.data["details"] == output
    assert ("make room on its file system" in error.data["cure"]) == ("No space" in output)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "cannot be read"),
        ("[]", "is not a board definition"),
        ('{"name": "x"}', "is not a board definition"),
        ('{"name": "x", "cpu": {}}', "board x has no table for the platform host"),
        ('{"name": "x", "cpu": {}, "host": {"colour": 1}}', "unknown key host.colour"),
    ],
)
def test_bad_board_definitions(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "board.json"
    path.write_text(text)
    handler = server.MakeProjectHandler(__file__)
    handler.platform_name = "host"
    with pytest.raises(server.OptionError, match=expected):
        handler.read_board(path)


def test_what_killed_tools_leave_is_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, str]] = []

    def run_tool(command: object, cwd: object, variables: dict[str, str]) -> tuple[int, str]:
        assert Path(variables["TMPDIR"]).is_dir()
        given.append(variables)
        return 0, ""

    monkeypatch.setattr(make_project, "run_tool", run_tool)
    handler = make_project.MakeProjectHandler(str(tmp_path / "server.py"))
    handler.build_firmware({}, {})
    assert given == [{"TMPDIR": str(tmp_path / "build")}]


@pytest.mark.parametrize(
    "word",
    ["a#b", "a\\#b", "a\\\\#b", "#", "\\", "$(touch x)", "$$", "`id`", "a'b", 'a"b', "é %", "*"],
)
def test_a_flag_reaches_the_compiler_as_it_is(tmp_path: Path, word: str) -> None:
    """Neither make nor its shell takes a character for something else."""
    text = make_project._makefile({"FLAGS": for_shell([word, "last"])})
    (tmp_path / "project.mk").write_text(text, encoding="utf-8")
    recipe = "include project.mk\nall:\n\t@printf '%s\\n' $(FLAGS)\n"
    (tmp_path / "Makefile").write_text(recipe, encoding="utf-8")
    made = subprocess.run(["make", "-s"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert made.stdout.splitlines() == [word, "last"]


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that has one library, and complains of a CPU that it does not know."""
    program = tmp_path / "demo-gcc"
    program.write_text(
        f"#!/bin/sh\ncase $1 in *typo) echo \"demo-gcc: error: unrecognized '$1'\";; esac\n"
        f"case $2 in *=libm.a) echo {tmp_path}/libm.a;; *) echo ${{2#*=}};; esac\n"
    )
    program.chmod(0o755)
    (tmp_path / "libm.a").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def demo(cpu: str) -> dict[str, Any]:
    return {**BOARD, "platform": "demo", "demo": {"toolchain": {"flags": [f"-mcpu={cpu}"]}}}


@pytest.fixture
def handler(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> MicrocontrollerHandler:
    handler = MicrocontrollerHandler(__file__)
    monkeypatch.setattr(handler, "table", lambda board: board["demo"])
    monkeypatch.setattr(handler, "compiler", lambda board: "demo-gcc")
    handler.directory = compiler
    return handler


def test_a_library_is_found_or_missing(handler: MicrocontrollerHandler, compiler: Path) -> None:
    assert handler.find_library(demo("m4"), "libm.a") == str(compiler / "libm.a")
    assert handler.find_library(demo("m4"), "libz.a") is None
    assert handler.find_library(demo("m4"), "no/such.a") is None


def test_flags_that_the_compiler_does_not_take_are_told(handler: MicrocontrollerHandler) -> None:
    with pytest.raises(server.ProjectError, match="does not take the flags of demo: demo-gcc: err"):
        handler.find_library(demo("typo"), "libm.a")
