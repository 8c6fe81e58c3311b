"""Entry points of other packages, beside our own members of the same groups."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm import extensions
from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.compiler.quantized.kernels import generate, kernel_tables
from pytest_microtvm.compiler.quantized.specs import Lookup, Spec
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.extensions import COMPILER_GROUPS, CPU_EXTENSIONS, FRONT_ENDS
from pytest_microtvm.model_files import is_library, is_model, is_surely_model
from tests.integer.cases import random_cases


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a package into a folder where installed ones are looked for."""

    def clear():
        extensions._installed.cache_clear()
        kernel_tables.cache_clear()

    def install(entry_points: str, source: str, version: str = "1.0") -> None:
        info = tmp_path / f"newcomer-{version}.dist-info"
        for old in tmp_path.glob("*.dist-info"):
            old.rename(info)
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: n\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)
        (tmp_path / "newcomer.py").write_text(source)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, "newcomer", raising=False)
        clear()

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    monkeypatch.undo()
    clear()


NOTHING = """\
from pytest_microtvm.compiler.quantized.cpu import CpuExtension
EXTENSION = CpuExtension()
"""
CPU = "[pytest_microtvm.cpu_extensions]\nnewcomer = newcomer:EXTENSION\n"


def test_a_cpu_without_kernels_of_its_own_has_the_portable_ones(install):
    install(CPU, NOTHING)
    assert "newcomer" in CPU_EXTENSIONS.names()
    for spec in random_cases(np.random.default_rng(3), 20):
        assert generate(spec, "newcomer").body == generate(spec, "none").body


def test_a_cpu_that_includes_another_has_its_kernels(install):
    install(CPU, NOTHING.replace("CpuExtension()", "CpuExtension(includes=('dsp',))"))
    bodies = {
        simd: [generate(s, simd).body for s in random_cases(np.random.default_rng(3), 20)]
        for simd in ("newcomer", "dsp", "none")
    }
    assert bodies["newcomer"] == bodies["dsp"] != bodies["none"]


def test_what_is_not_there_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"no CPU extension 'neon'.*none, dsp, helium"):
        generate(Lookup(4, np.zeros(256, np.int8)), "neon")
    sine = Path(__file__).parents[2] / "conftest_examples" / "models" / "sine_float32.tflite"
    with pytest.raises(ConfigError, match="no CPU extension 'neon'"):
        compile_to_files(sine, CompileOptions(simd="neon"))


def test_a_spec_that_nothing_computes_is_refused():
    class Unknown(Spec):
        pass

    with pytest.raises(ConfigError, match="no portable kernel for the spec Unknown"):
        generate(Unknown())


@pytest.mark.parametrize(
    ("entry_points", "source", "message"),
    [
        (CPU, "raise OSError('gone')", "newcomer:EXTENSION cannot be loaded: OSError"),
        (CPU, "", "newcomer:EXTENSION cannot be loaded: AttributeError"),
        (CPU.replace("newcomer =", "DSP ="), NOTHING, "adds a CPU extension 'dsp', which is there"),
    ],
)
def test_a_broken_package_is_named(entry_points, source, message, install):
    install(entry_points, source)
    with pytest.raises(ConfigError, match=message):
        kernel_tables("newcomer")


def test_version_and_sources_tell_two_packages_apart(install):
    def identity() -> str:
        return str([group.identity() for group in COMPILER_GROUPS])

    found = {identity()}
    install(CPU, NOTHING)
    found.add(identity())
    assert identity() in found
    install(CPU, NOTHING, version="1.1")
    found.add(identity())
    install(CPU, NOTHING + "# another\n", version="1.1")
    found.add(identity())
    assert len(found) == 4


@pytest.mark.parametrize("name", ["kws.tflite", "UPPER.TFLITE", "net.Onnx", "net.new"])
def test_models_are_told_by_their_suffix_whatever_its_letter_case(name, install):
    install("[pytest_microtvm.front_ends]\nNew = newcomer:read\n", "def read(data): pass")
    assert is_model(Path(name))
    assert is_surely_model(Path(name))
    assert not is_library(Path(name))
    assert callable(FRONT_ENDS.load(Path(name).suffix[1:]))


@pytest.mark.parametrize("name", ["module.json", "MODEL.TAR"])
def test_suffixes_of_many_things_are_models_when_they_are_named(name):
    assert is_model(Path(name))
    assert not is_surely_model(Path(name))


@pytest.mark.parametrize("name", ["tflite", ".tflite", "notes.txt", "test_model.py", "Makefile"])
def test_other_files_are_no_models(name):
    assert not is_model(Path(name))
