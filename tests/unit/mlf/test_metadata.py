"""Metadata that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.errors import ModelError
from pytest_microtvm.mlf.library import (
    VERSION,
    open_library,
)
from tests.unit.mlf.archives import CODE, TENSOR, altered, files, kernel, kernels, main_of, packed


def tensor(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: main_of(metadata)["inputs"]["x:0"].update(changes)


def main(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: main_of(metadata).update(changes)


def rename(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: metadata.update(modules={name: metadata["modules"]["net"]})


def pool(name: str = "a", **entry: Any) -> Callable[[dict[str, Any]], None]:
    whole = {"size": 16, "offset": 0, "bound": 16, "internal": False, **entry}
    return main(workspace_pools={name: whole}, workspace_size_bytes=16)


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "newer": (lambda m: m.update(version=VERSION + 1), "update pytest-microtvm"),
    "older": (lambda m: m.update(version=7), "older TVM"),
    "version as text": (lambda m: m.update(version="8"), "'version' is not of type int"),
    "version as bool": (lambda m: m.update(version=True), "'version' is not of type int"),
    "no modules": (lambda m: m.pop("modules"), "'modules'"),
    "two modules": (lambda m: m["modules"].update(b={}), "lacks codegen"),
    "flag of a linker": (
        lambda m: m["modules"]["net"].update(
            external_dependencies=[{"name": "x", "link_flags": ["-lm", "-Wl,-T,/etc/passwd"]}]
        ),
        "asks for the link flag '-Wl,",
    ),
    "library as text": (
        lambda m: m["modules"]["net"].update(external_dependencies=["x"]),
        "external dependency that is not an object",
    ),
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
        "not names",
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
    "pool with a foreign name": (pool("a b"), "with the pool 'a b'"),
    "pool that is no object": (main(workspace_pools={"a": 3}), "with the pool 'a'"),
    "pool behind a gap": (pool(offset=16), "at a wrong place"),
    "pool of another size": (pool(size=32), "pools are not its arena"),
    "pool of negative size": (pool(size=-16), "'size' is -16"),
    "pool that may be internal": (pool(internal=1), "'internal' is not of type bool"),
    "pool with a limit as text": (
        pool(properties={"size_hint_bytes": "64K"}),
        "'size_hint_bytes' is not of type int",
    ),
    "odd executor": (lambda m: m["modules"]["net"].update(executors=["vm"]), "'vm'"),
    "negative workspace": (main(workspace_size_bytes=-1), "workspace_size_bytes"),
    "huge workspace": (main(workspace_size_bytes=1 << 60), "workspace_size_bytes"),
    "float workspace": (main(workspace_size_bytes=1.5), "workspace_size_bytes"),
    "no constants": (main(constants_size_bytes=None), "constants_size_bytes"),
    "inputs as list": (main(inputs=[]), "'inputs'"),
    "no outputs": (main(outputs={}), "without outputs"),
    "tensor as text": (main(inputs={"x": "y"}), "not an object"),
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
        "wrong shape, type, size, quantization or C name",
    ),
    "zero point outside of its type": (
        tensor(dtype="int8", shape=[8], size=8, scale=0.5, zero_point=128),
        "quantization or C name of 'x:0'",
    ),
    "scale of floats": (tensor(dtype="float32", scale=0.5, zero_point=0), "'x:0'"),
    "scale without end": (
        tensor(dtype="int8", shape=[8], size=8, scale=10**400, zero_point=0),
        "'x:0'",
    ),
    "signature as number": (tensor(signature_name=1), "'x:0'"),
    "kernel as text": (kernels("k"), "a kernel that is not an object"),
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
