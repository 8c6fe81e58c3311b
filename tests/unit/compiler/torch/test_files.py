"""What is said of files that are no programs, or that would run code as they are opened."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.errors import ModelError
from tests.unit.compiler.torch.conftest import INSTALL

pytestmark = pytest.mark.filterwarnings("ignore")


class _Hostile:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def _members(torch: Any) -> dict[str, bytes]:
    """The members of a good file."""
    buffer = io.BytesIO()
    rows = torch.export.Dim("rows")
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    program = torch.export.export(model, (torch.randn(5, 4),), dynamic_shapes=({0: rows},))
    torch.export.save(program, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _refusal(members: Mapping[str, bytes], folder: Path) -> str:
    path = folder / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError) as caught:
        compile_to_files(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_program_is_told_by_its_kind(torch: Any, tmp_path: Path):
    path = tmp_path / "model.pt2"
    path.write_bytes(b"no program")
    with pytest.raises(ModelError, match=r"not a program of torch\.export.*export\.save"):
        compile_to_files(path)
    for members, expected in (
        ({"model/data/aotinductor/model/a.so": b""}, "AOTInductor compiled"),
        ({"model/code/__torch__.py": b"", "model/data.pkl": b""}, "TorchScript"),
        ({"model/data.pkl": b""}, "torch.save"),
        ({"any": b""}, "not a program"),
    ):
        assert expected in _refusal(members, tmp_path)


def test_a_truncated_file_is_refused_in_one_line(torch: Any, tmp_path: Path):
    buffer = io.BytesIO()
    program = torch.export.export(torch.nn.ReLU(), (torch.randn(4),))
    torch.export.save(program, buffer)
    path = tmp_path / "model.pt2"
    path.write_bytes(buffer.getvalue()[:-200])
    with pytest.raises(ModelError, match="damaged"):
        compile_to_files(path)


def test_objects_of_python_are_not_unpickled(torch: Any, tmp_path: Path):
    trace = tmp_path / "trace"
    hostile = pickle.dumps(_Hostile(trace))
    held = io.BytesIO()
    torch.save(_Hostile(trace), held)
    good = _members(torch)
    [config] = (name for name in good if name.endswith("constants_config.json"))
    [weights] = (name for name in good if name.endswith("weights_config.json"))
    constants = {"config": {"c": {"path_name": "opaque_obj_0", "is_param": False}}}
    parent = config.rpartition("/")[0]
    changed = {config: json.dumps(constants).encode(), f"{parent}/opaque_obj_0": hostile}
    assert "may run code" in _refusal({**good, **changed}, tmp_path)
    # As a weight that is said to be pickled, which PyTorch opens by torch.load.
    description = json.loads(good[weights])
    first = next(iter(description["config"].values()))
    first["use_pickle"] = True
    member = f"{weights.rpartition('/')[0]}/{first['path_name']}"
    changed = {weights: json.dumps(description).encode(), member: held.getvalue()}
    assert "cannot open the file" in _refusal({**good, **changed}, tmp_path)
    assert not trace.exists()


def test_texts_that_are_no_sizes_or_operators_are_not_evaluated(torch: Any, tmp_path: Path):
    trace = tmp_path / "trace"
    good = _members(torch)
    [model] = (name for name in good if "models/" in name)
    text = json.dumps(json.loads(good[model]))
    [size] = {part.split('"')[0] for part in text.split('"expr_str": "')[1:]}
    code = f"__import__('pathlib').Path('{trace}').touch()"
    for wrong in (code, "Symbol('x').__class__", "open('x')", "[c for c in (1,)]"):
        changed = text.replace(f'"expr_str": "{size}"', f'"expr_str": "{wrong}"')
        assert changed != text
        assert "a size is" in _refusal({**good, model: changed.encode()}, tmp_path)
    for wrong in ("torch.hub.load", "torch.ops.aten.linear.__globals__", "os.system"):
        changed = text.replace("torch.ops.aten.linear.default", wrong)
        assert changed != text
        assert "an operator is" in _refusal({**good, model: changed.encode()}, tmp_path)
    assert not trace.exists()


def test_a_file_that_unpacks_to_too_much_is_refused(torch: Any, tmp_path: Path):
    path = tmp_path / "model.pt2"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("model/models/model.json", "w") as member,
    ):
        for _ in range(300):
            member.write(bytes(1 << 20))
    with pytest.raises(ModelError, match="unpacks to 314572800 bytes"):
        compile_to_files(path)


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "model.pt2"
    path.write_bytes(b"PK")
    with pytest.raises(ModelError) as caught:
        compile_to_files(path)
    assert INSTALL in str(caught.value)


@pytest.mark.parametrize("suffix", ["keras", "h5", "Keras"])
def test_keras_models_are_told_how_to_become_tflite(suffix: str, tmp_path: Path):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"any")
    with pytest.raises(ModelError, match=r"TFLiteConverter\.from_keras_model"):
        compile_to_files(path)
