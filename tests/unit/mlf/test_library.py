"""Archives: honest ones come through whole, hostile ones are refused before anything is written."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.errors import ConfigError, ModelError
from pytest_microtvm.mlf import archive, library
from pytest_microtvm.mlf.archive import pack_library
from pytest_microtvm.mlf.library import (
    VERSION,
    KernelSpec,
    TensorSpec,
    extract_library,
    open_library,
    read_graph,
    write_library,
)

TENSOR = {"size": 8, "dtype": "float32", "shape": [1, 2], "c_name": "x_0", "macro": "M"}
METADATA: dict[str, Any] = {
    "version": VERSION,
    "modules": {
        "net": {
            "model_name": "net",
            "executors": ["aot"],
            "memory": {
                "functions": {
                    "main": [
                        {
                            "workspace_size_bytes": 96,
                            "constants_size_bytes": 40,
                            "io_size_bytes": 10,
                            "inputs": {"x:0": TENSOR},
                            "outputs": {
                                "y": {"size": 2, "dtype": "int8", "shape": [2], "c_name": "y"}
                            },
                        }
                    ]
                }
            },
        }
    },
}
CODE = {
    "codegen/host/include/tvmgen_net.h": b"/* header */\n",
    "codegen/host/src/net_model.c": b"/* model */\n",
}
GRAPH: dict[str, Any] = {
    "nodes": [
        {"op": "null", "name": "x:0", "inputs": []},
        {"op": "null", "name": "p0", "inputs": []},
        {
            "op": "tvm_op",
            "name": "add",
            "attrs": {
                "func_name": "tvmgen_net_add",
                "num_inputs": "2",
                "num_outputs": "2",
                "flatten_data": "0",
                "workspace_offset": "32",
            },
            "inputs": [[0, 0, 0], [1, 0, 0]],
        },
        {
            "op": "tvm_op",
            "name": "copy",
            "attrs": {"func_name": "__copy", "num_inputs": "1", "num_outputs": "1"},
            "inputs": [[2, 1, 0]],
        },
    ],
    "arg_nodes": [0, 1],
    "heads": [[3, 0, 0]],
    "attrs": {
        "dltype": ["list_str", ["float32", "float32", "float32", "int8", "int8"]],
        "shape": ["list_shape", [[1, 2], [], [8], [2], [2]]],
        "storage_id": ["list_int", [0, 1, 2, 3, 4]],
        "storage_offset": ["list_int", [-1, -1, 0, 80, -1]],
    },
    "node_row_ptr": [0, 1, 2, 4, 5],
}
GRAPH_COUNTS = {"nodes": 4, "entries": 5, "steps": 2, "arguments": 6}


def files(metadata: Any = METADATA) -> dict[str, bytes]:
    return {"metadata.json": json.dumps(metadata).encode(), **CODE}


def packed(path: Path, contents: dict[str, bytes] | None = None) -> Path:
    write_library(path, files() if contents is None else contents)
    return path


def altered(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    metadata = copy.deepcopy(METADATA)
    change(metadata)
    return metadata


def main_of(metadata: dict[str, Any]) -> dict[str, Any]:
    main: dict[str, Any] = metadata["modules"]["net"]["memory"]["functions"]["main"][0]
    return main


def test_what_is_written_can_be_opened(tmp_path: Path):
    path = packed(tmp_path / "net.tar")
    opened = open_library(path)
    assert (opened.path, opened.name, opened.executors) == (path, "net", ("aot",))
    assert (opened.workspace_bytes, opened.constants_bytes) == (96, 40)
    assert opened.inputs == (TensorSpec("x:0", (1, 2), "float32", 8, "x_0"),)
    assert opened.outputs == (TensorSpec("y", (2,), "int8", 2, "y"),)
    assert opened.metadata == METADATA
    assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_kernels_are_known_by_name(tmp_path: Path):
    second = kernel(function_name="m", workspace=[], macs=1000)
    metadata = altered(kernels(kernel(), second))
    opened = open_library(packed(tmp_path / "net.tar", files(metadata)))
    assert opened.kernels == (KernelSpec("k", 64, None), KernelSpec("m", 0, 1000))


def test_the_same_files_give_the_same_bytes_in_any_order(tmp_path: Path):
    one, other = files(), dict(reversed(list(files().items())))
    assert pack_library(one) == pack_library(other)
    packed(tmp_path / "a.tar", one)
    packed(tmp_path / "b.tar", other)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")


def test_extraction_writes_all_members(tmp_path: Path):
    extract_library(packed(tmp_path / "net.tar"), tmp_path / "out" / "deep")
    for name, content in files().items():
        assert (tmp_path / "out" / "deep" / name).read_bytes() == content


def test_writing_replaces_an_old_archive_and_leaves_nothing_else(tmp_path: Path):
    (tmp_path / "net.tar").write_bytes(b"old")
    packed(tmp_path / "net.tar")
    open_library(tmp_path / "net.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["net.tar"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ConfigError, match="No space left"):
        packed(tmp_path / "net.tar")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="nowhere"):
        packed(tmp_path / "nowhere" / "net.tar")


# Hostile archives.


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def with_members(path: Path, *members: tarfile.TarInfo) -> Path:
    """An honest archive with members added."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in members:
            archive.addfile(info, io.BytesIO(bytes(info.size)) if info.isreg() else None)
    return path


HOSTILE = {
    "dots": (member("../evil"), "leaves its folder"),
    "dots inside": (member("codegen/../../evil"), "leaves its folder"),
    "absolute": (member("/tmp/evil"), "leaves its folder"),
    "backslashes": (member("..\\evil"), "is not made of letters"),
    "newline": (member("a\nb"), "is not made of letters"),
    "command": (member("codegen/host/src/a`id>x`.c"), "is not made of letters"),
    "variable": (member("codegen/host/src/$(HOME).c"), "is not made of letters"),
    "space": (member("codegen/host/src/a b.c"), "is not made of letters"),
    "letter of another alphabet": (member("codegen/host/src/ä.c"), "is not made of letters"),
    "command in a folder": (member("codegen/host/$(id)", tarfile.DIRTYPE), "is not made of"),
    "long": (member("a/" * 200 + "a"), "leaves its folder"),
    "dot": (member("."), "leaves its folder"),
    "symbolic link": (member("codegen/x", tarfile.SYMTYPE, "/etc/passwd"), "link or device"),
    "hard link": (member("x", tarfile.LNKTYPE, "metadata.json"), "link or device"),
    "character device": (member("x", tarfile.CHRTYPE), "link or device"),
    "block device": (member("x", tarfile.BLKTYPE), "link or device"),
    "fifo": (member("x", tarfile.FIFOTYPE), "link or device"),
    "duplicate": (member("metadata.json"), "twice"),
    "duplicate in disguise": (member("./codegen//host/./src/net_model.c"), "twice"),
    "file as folder": (member("codegen/host"), "as a file and a folder"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_members_are_refused_and_nothing_is_written(name: str, tmp_path: Path):
    info, message = HOSTILE[name]
    path = with_members(tmp_path / "net.tar", info)
    for use in (open_library, lambda p: extract_library(p, tmp_path / "out")):
        with pytest.raises(ModelError, match=message) as caught:
            use(path)
        assert caught.value.cure
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["net.tar"]


def test_folders_are_harmless(tmp_path: Path):
    path = with_members(tmp_path / "net.tar", member("codegen/host", tarfile.DIRTYPE))
    open_library(path)


def test_a_gigabyte_of_zeros_is_refused_without_reading_it(tmp_path: Path):
    path = packed(tmp_path / "net.tar")
    bomb = member("zeros")
    bomb.size = 1 << 30
    content = path.read_bytes().rstrip(b"\0")
    content += bytes(-len(content) % 512) + bomb.tobuf(tarfile.USTAR_FORMAT)
    with path.open("wb") as stream:
        stream.write(content)
        stream.truncate(len(content) + (1 << 30) + 1024)
    with pytest.raises(ModelError, match="more than 536870912"):
        open_library(path)


def test_a_sparse_member_that_claims_a_gigabyte_is_refused(tmp_path: Path):
    info = member("zeros")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.map": "0,0",
    }
    with pytest.raises(ModelError):
        open_library(with_members(tmp_path / "net.tar", info))


def test_unpacked_sizes_are_bounded_in_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 4000)
    infos = [member(f"f{i}") for i in range(5)]
    for info in infos:
        info.size = 900
    with pytest.raises(ModelError, match="unpacks to more than"):
        open_library(with_members(tmp_path / "net.tar", *infos))


def test_the_number_of_members_is_bounded(tmp_path: Path):
    infos = [member(f"f{i}") for i in range(archive.MAX_MEMBERS)]
    with pytest.raises(ModelError, match="more than 4096 members"):
        open_library(with_members(tmp_path / "net.tar", *infos))


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_archives_are_refused(mode: str, tmp_path: Path):
    with tarfile.open(tmp_path / "net.tar", mode) as archive:  # type: ignore[call-overload]
        archive.addfile(member("metadata.json"))
    with pytest.raises(ModelError, match="no uncompressed tar"):
        open_library(tmp_path / "net.tar")


@pytest.mark.parametrize("content", [b"", b"x", b"rubbish" * 1000, bytes(10240)])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "net.tar"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.tar"):
        open_library(path)


def test_every_truncation_is_noticed(tmp_path: Path):
    whole = packed(tmp_path / "net.tar").read_bytes()
    end = len(whole.rstrip(b"\0"))
    for length in range(0, end, 97):
        (tmp_path / "net.tar").write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"net\.tar"):
            extract_library(tmp_path / "net.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE, tarfile.XHDTYPE])
def test_a_chain_of_headers_is_refused_in_one_line(kind: bytes, tmp_path: Path):
    header = member("a", kind)
    content = b"10 path=a\n" if kind != tarfile.GNUTYPE_LONGNAME else b"a\0"
    header.size = len(content)
    block = header.tobuf(tarfile.USTAR_FORMAT) + content.ljust(512, b"\0")
    (tmp_path / "net.tar").write_bytes(block * 3000 + packed(tmp_path / "honest.tar").read_bytes())
    with pytest.raises(ModelError, match=r"net\.tar") as caught:
        open_library(tmp_path / "net.tar")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("raised", [MemoryError(), KeyError("x"), RuntimeError(), IndexError()])
def test_whatever_reading_raises_is_one_line(
    raised: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(tarfile, "open", fail)
    (tmp_path / "net.tar").write_bytes(b"any")
    with pytest.raises(ModelError, match=type(raised).__name__):
        open_library(tmp_path / "net.tar")


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_paths_that_are_no_files_are_refused(what: str, tmp_path: Path):
    path = tmp_path / "net.tar"
    if what == "folder":
        path.mkdir()
    with pytest.raises(ModelError, match=r"net\.tar"):
        open_library(path)


# Wrong metadata.


def tensor(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: main_of(metadata)["inputs"]["x:0"].update(changes)


def main(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: main_of(metadata).update(changes)


def rename(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: metadata.update(modules={name: metadata["modules"]["net"]})


def kernel(**changes: Any) -> dict[str, Any]:
    return {"function_name": "k", "workspace": [{"workspace_size_bytes": 64}], **changes}


def kernels(*entries: Any) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: metadata["modules"]["net"]["memory"]["functions"].update(
        operator_functions=list(entries)
    )


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "newer": (lambda m: m.update(version=VERSION + 1), "update pytest-microtvm"),
    "older": (lambda m: m.update(version=7), "older TVM"),
    "version as text": (lambda m: m.update(version="8"), "'version' is not of type int"),
    "version as bool": (lambda m: m.update(version=True), "'version' is not of type int"),
    "no modules": (lambda m: m.pop("modules"), "'modules'"),
    "two modules": (lambda m: m["modules"].update(b={}), "2 modules"),
    "module as list": (lambda m: m["modules"].update(net=[]), "'net'"),
    "name with dots": (rename("../x"), "a module named"),
    "name with space": (rename("a b"), "a module named"),
    "name with newline": (rename("net\n"), "a module named"),
    "long name": (rename("n" * 200), "a module named"),
    "another name": (rename("other"), "lacks codegen/host/include/tvmgen_other.h"),
    "no main": (lambda m: m["modules"]["net"]["memory"]["functions"].update(main=[]), "main"),
    "no executors": (lambda m: m["modules"]["net"].update(executors=[]), "executors"),
    "float operators as a list": (
        lambda m: m["modules"]["net"].update(float_operators=[]),
        "'float_operators'",
    ),
    "float operators without names": (
        lambda m: m["modules"]["net"].update(
            float_operators={
                "operators": ["\x1b[2J"],
                "functions": [],
                "constants_size_bytes": 0,
                "workspace_size_bytes": 0,
            }
        ),
        "no names",
    ),
    "float operators of negative cost": (
        lambda m: m["modules"]["net"].update(
            float_operators={
                "operators": ["divide"],
                "functions": ["tvmgen_net_divide"],
                "constants_size_bytes": -1,
                "workspace_size_bytes": 0,
            }
        ),
        "'constants_size_bytes'",
    ),
    "odd executor": (lambda m: m["modules"]["net"].update(executors=["vm"]), "'vm'"),
    "negative workspace": (main(workspace_size_bytes=-1), "workspace_size_bytes"),
    "huge workspace": (main(workspace_size_bytes=1 << 60), "workspace_size_bytes"),
    "float workspace": (main(workspace_size_bytes=1.5), "workspace_size_bytes"),
    "no constants": (main(constants_size_bytes=None), "constants_size_bytes"),
    "inputs as list": (main(inputs=[]), "'inputs'"),
    "no outputs": (main(outputs={}), "without outputs"),
    "tensor as text": (main(inputs={"x": "y"}), "no object"),
    "too many tensors": (main(inputs=dict.fromkeys(map(str, range(2000)), TENSOR)), "2000"),
    "one c_name twice": (tensor(c_name="Y"), "one c_name for two"),
    "c_name with code": (tensor(c_name="x; }"), "'x:0'"),
    "shape as text": (tensor(shape="12"), "'shape'"),
    "negative extent": (tensor(shape=[-1, -2]), "'x:0'"),
    "bool extent": (tensor(shape=[True, 2]), "'x:0'"),
    "huge shape": (tensor(shape=[2**31] * 9), "'x:0'"),
    "deep shape": (tensor(shape=[1] * 40 + [2]), "'x:0'"),
    "size that does not fit": (tensor(size=9), "'x:0'"),
    "unknown dtype": (tensor(dtype="float16"), "'x:0'"),
    "dtype as list": (tensor(dtype=[]), "'dtype'"),
    "half a character": (
        lambda m: main_of(m)["inputs"].update({"\ud800": {**TENSOR, "c_name": "z"}}),
        "wrong shape, type, size or C name",
    ),
    "signature as number": (tensor(signature_name=1), "'x:0'"),
    "kernel as text": (kernels("k"), "a kernel that is no object"),
    "kernel twice": (kernels(kernel(), kernel()), "names a kernel twice"),
    "kernel with code": (kernels(kernel(function_name="k;")), "a kernel named 'k;'"),
    "kernel without workspace": (kernels(kernel(workspace=None)), "'workspace'"),
    "kernel with an odd workspace": (kernels(kernel(workspace=[1])), "wrong workspace of k"),
    "kernel with less than no macs": (kernels(kernel(macs=-1)), "-1 macs of k"),
    "kernel with macs as text": (kernels(kernel(macs="1")), "'macs'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_metadata_is_refused_by_name(name: str, tmp_path: Path):
    change, message = WRONG[name]
    path = packed(tmp_path / "net.tar", files(altered(change)))
    with pytest.raises(ModelError, match=message.replace(".", r"\.")) as caught:
        open_library(path)
    assert caught.value.cure
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"version": NaN}',
        b'{"version": 8, "version": 9}',
        b"[" * 100_000,
        b'{"version": 1' + b"0" * 10_000 + b"}",
    ],
)
def test_metadata_that_is_no_json_object_is_refused(text: bytes, tmp_path: Path):
    path = packed(tmp_path / "net.tar", {"metadata.json": text, **CODE})
    with pytest.raises(ModelError, match=r"metadata"):
        open_library(path)


# Graphs.


def with_graph(graph: Any = GRAPH, counts: Any = GRAPH_COUNTS) -> dict[str, bytes]:
    """The files of an archive that serves the graph executor, too."""
    metadata = altered(
        lambda m: m["modules"]["net"].update(executors=["aot", "graph"], graph=counts)
    )
    text = graph if isinstance(graph, bytes) else json.dumps(graph).encode()
    return {**files(metadata), "executor-config/graph/net.graph": text}


def test_a_graph_is_read_from_an_archive(tmp_path: Path):
    opened = open_library(packed(tmp_path / "net.tar", with_graph()))
    assert opened.executors == ("aot", "graph")
    assert json.loads(read_graph(opened)) == GRAPH


def test_an_archive_without_a_graph_says_so(tmp_path: Path):
    opened = open_library(packed(tmp_path / "net.tar"))
    with pytest.raises(ModelError, match="has no graph"):
        read_graph(opened)


def test_a_promised_graph_must_be_there(tmp_path: Path):
    contents = with_graph()
    del contents["executor-config/graph/net.graph"]
    with pytest.raises(ModelError, match=r"has no executor-config/graph/net\.graph"):
        open_library(packed(tmp_path / "net.tar", contents))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}'])
def test_a_graph_that_is_no_json_object_is_refused(text: bytes, tmp_path: Path):
    with pytest.raises(ModelError, match=r"net\.graph that is not"):
        open_library(packed(tmp_path / "net.tar", with_graph(text)))


def test_a_graph_of_many_megabytes_is_refused(tmp_path: Path):
    text = b" " * (library.MAX_GRAPH_BYTES + 1)
    with pytest.raises(ModelError, match=r"net\.graph of 4194305 bytes"):
        open_library(packed(tmp_path / "net.tar", with_graph(text)))


def test_a_graph_that_is_counted_wrongly_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="counts its graph wrongly"):
        open_library(packed(tmp_path / "net.tar", with_graph(counts={**GRAPH_COUNTS, "steps": 1})))


def call(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Change the attributes of the node that calls a kernel."""
    return lambda graph: graph["nodes"][2]["attrs"].update(changes)


def attribute(name: str, entry: int, value: Any) -> Callable[[dict[str, Any]], None]:
    """Change what the graph says of one entry."""

    def change(graph: dict[str, Any]) -> None:
        graph["attrs"][name][1][entry] = value

    return change


WRONG_GRAPHS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no nodes": (lambda g: g.pop("nodes"), "without nodes"),
    "no attributes": (lambda g: g.update(attrs=[]), "without attrs"),
    "no heads": (lambda g: g.pop("heads"), "without heads"),
    "node as number": (lambda g: g["nodes"].__setitem__(0, 7), "without inputs"),
    "nameless node": (lambda g: g["nodes"][0].pop("name"), "no name"),
    "unknown node": (lambda g: g["nodes"][2].update(op="vm_op"), "kind of node"),
    "input with inputs": (lambda g: g["nodes"][1].update(inputs=[[0, 0, 0]]), "input that is none"),
    "fewer rows": (lambda g: g["node_row_ptr"].pop(), "node_row_ptr does not fit"),
    "rows that go back": (lambda g: g.update(node_row_ptr=[0, 2, 1, 4, 5]), "does not fit"),
    "rows as text": (lambda g: g.update(node_row_ptr=["0"] * 5), "hold numbers"),
    "more rows than entries": (lambda g: g.update(node_row_ptr=[0, 1, 2, 4, 6]), "attributes do"),
    "no arg_nodes": (lambda g: g.pop("arg_nodes"), "arg_nodes"),
    "other arg_nodes": (lambda g: g.update(arg_nodes=[1, 0]), "arg_nodes"),
    "other input": (attribute("shape", 0, [3]), "inputs are not those"),
    "other output": (attribute("shape", 4, [3]), "outputs are not those"),
    "more outputs": (lambda g: g["heads"].append([2, 0, 0]), "outputs are not those"),
    "later reference": (lambda g: g["nodes"][2].update(inputs=[[2, 0, 0]]), "not there yet"),
    "reference to no node": (lambda g: g.update(heads=[[9, 0, 0]]), "not there"),
    "reference to no output": (lambda g: g.update(heads=[[3, 1, 0]]), "not there"),
    "negative reference": (lambda g: g.update(heads=[[-1, 0, 0]]), "reference that is none"),
    "bool reference": (lambda g: g.update(heads=[[True, 0, 0]]), "reference that is none"),
    "short reference": (lambda g: g.update(heads=[[3]]), "reference that is none"),
    "no function": (call(func_name=None), "calls no function"),
    "function with code": (call(func_name="f();"), "calls no function"),
    "inputs counted wrongly": (call(num_inputs="3"), "counts its arguments"),
    "outputs as number": (call(num_outputs=2), "counts its arguments"),
    "workspace as number": (call(workspace_offset=32), "workspace off"),
    "workspace beyond": (call(workspace_offset="112"), "workspace off"),
    "workspace unaligned": (call(workspace_offset="33"), "workspace off"),
    "attribute as text": (lambda g: g["attrs"].update(shape="list"), "without shape"),
    "attribute without values": (lambda g: g["attrs"].update(shape=["l", 1]), "shape is no list"),
    "missing attribute": (lambda g: g["attrs"].pop("storage_offset"), "without storage_offset"),
    "short attribute": (lambda g: g["attrs"]["dltype"][1].pop(), "different lengths"),
    "unknown dtype": (attribute("dltype", 2, "float16"), "unknown element type"),
    "dtype as list": (attribute("dltype", 2, []), "unknown element type"),
    "negative extent": (attribute("shape", 2, [-8]), "wrong shape"),
    "deep shape": (attribute("shape", 2, [1] * 40), "wrong shape"),
    "no elements": (attribute("shape", 2, [0]), "impossible size"),
    "huge tensor": (attribute("shape", 2, [2**31 - 1] * 3), "impossible size"),
    "storage as text": (attribute("storage_id", 2, "2"), "wrong storage_id"),
    "beyond the arena": (attribute("storage_offset", 2, 80), "off its arena"),
    "before the arena": (attribute("storage_offset", 2, -16), "off its arena"),
    "unaligned": (attribute("storage_offset", 2, 8), "off its arena"),
    "offset as float": (attribute("storage_offset", 2, 16.0), "off its arena"),
}


@pytest.mark.parametrize("name", WRONG_GRAPHS)
def test_wrong_graphs_are_refused_by_name(name: str, tmp_path: Path):
    change, message = WRONG_GRAPHS[name]
    graph = copy.deepcopy(GRAPH)
    change(graph)
    with pytest.raises(ModelError, match=f"has a graph .*{message}") as caught:
        open_library(packed(tmp_path / "net.tar", with_graph(graph)))
    assert caught.value.cure
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["metadata.json", *CODE])
def test_a_missing_member_is_named(missing: str, tmp_path: Path):
    contents = files()
    del contents[missing]
    with pytest.raises(ModelError, match=missing):
        open_library(packed(tmp_path / "net.tar", contents))
