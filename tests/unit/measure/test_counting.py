"""The plugin that counts instructions: how it is made and kept, and what its log says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_microtvm.errors import BuildError
from pytest_microtvm.flow.cache import Cache
from pytest_microtvm.flow.manifest import MANIFEST
from pytest_microtvm.flow.workshop import obtain_plugin
from pytest_microtvm.measure import counting
from pytest_microtvm.measure.counting import (
    Counter,
    kernels_of,
    parse_counts,
    write_functions,
)
from pytest_microtvm.measure.elf import RUN_FUNCTION

EMULATOR = "qemu-system-arm"
SOURCE = Path(counting.__file__).with_suffix(".c")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "cache")
    made.open()
    return made


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that are found before all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def need(program: str, install: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing; install it: {install}")


def test_a_run_of_the_model_is_a_line():
    counts = parse_counts("0:10 2:5 0:11 40\n", ["a", "b", "c"])
    assert (counts.total, counts.kernels) == (40, (("a", 10), ("c", 5), ("a", 11)))


def test_cycles_stand_behind_instructions_where_they_are_counted():
    counts = parse_counts("0:10:25 2:5:9 40:100\n1:7:8 7:8\n", ["a", "b", "c"])
    assert (counts.total, counts.kernels) == (47, (("a", 10), ("c", 5), ("b", 7)))
    assert (counts.cycles, counts.kernel_cycles) == (108, (25, 9, 8))


def test_kernels_that_the_host_calls_add_up():
    counts = parse_counts("1:7 7\n0:10 10\n", ["a", "b"])
    assert (counts.total, counts.kernels) == (17, (("b", 7), ("a", 10)))
    assert (counts.cycles, counts.kernel_cycles) == (None, ())


def test_kernels_are_numbered_by_their_order(tmp_path):
    addresses = {"k1": 0x10, RUN_FUNCTION: 0x8000, "k0": 0x20}
    write_functions(tmp_path / "functions", addresses)
    assert (tmp_path / "functions").read_text() == "kernel 0x10\nkernel 0x20\nrun 0x8000\n"
    assert kernels_of(addresses) == ("k1", "k0")


def test_paths_with_commas_reach_the_emulator_whole():
    counter = Counter(Path("/a,b/c.so"), Path("/f"), ())
    assert counter.project_options(Path("/l")) == {
        "qemu_plugin": "file=/a,,b/c.so,functions=/f,log=/l"
    }


def test_an_emulator_that_counts_by_itself_takes_paths():
    counter = Counter(None, Path("/f,1"), ())
    assert counter.project_options(Path("/l")) == {
        "simavr_functions": "/f,1",
        "simavr_log": "/l",
    }


def test_the_plugin_compiles_without_warnings(tmp_path):
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Wvla"]
    warnings += ["-Wmissing-prototypes", "-Wstrict-prototypes", "-Werror"]
    command = ["gcc", "-std=c11", "-O2", "-shared", "-fPIC", *warnings]
    command += ["-DCOUNTING_PLUGIN_VERSION=1", "-o", str(tmp_path / "p.so"), str(SOURCE)]
    subprocess.run(command, check=True, timeout=60)


def test_the_plugin_is_made_once_for_an_emulator(cache):
    need(EMULATOR, "apt-get install qemu-system-arm")
    plugin = obtain_plugin(cache, EMULATOR)
    made = plugin.stat().st_mtime_ns
    assert obtain_plugin(cache, EMULATOR) == plugin
    assert plugin.stat().st_mtime_ns == made
    assert sorted(path.name for path in plugin.parent.iterdir()) == ["counting.so", MANIFEST]


def test_an_emulator_of_the_second_interface_gets_a_plugin_for_it(cache, programs):
    """QEMU 9 and later refuse version 1; this one runs the version 2 that it finds in the file."""
    script(
        programs / "qemu-new",
        'case "$*" in *version*) exit 0;; esac\n'
        'plugin=$(echo "$*" | sed "s/.*file=\\([^,]*\\),.*/\\1/")\n'
        'objdump -s -j .data "$plugin" | grep -q " 02000000" && exit 0\n'
        'echo "qemu-new: requires API version 1, but this QEMU supports only 2" >&2; exit 1',
    )
    plugin = obtain_plugin(cache, "qemu-new")
    assert plugin.is_file()


@pytest.mark.parametrize(
    ("program", "text", "reason"),
    [
        ("cc", "echo 'cc: no such thing' >&2; exit 1", "cc does not compile the plugin"),
        (EMULATOR, 'echo "$0: -plugin: invalid option" >&2; exit 1', "-plugin: invalid option"),
    ],
)
def test_without_a_plugin_there_is_a_reason_and_nothing_is_kept(
    cache, programs, program, text, reason
):
    need(EMULATOR, "apt-get install qemu-system-arm")
    script(programs / program, text)
    with pytest.raises(BuildError, match=reason):
        obtain_plugin(cache, EMULATOR)
    (programs / program).unlink()
    assert obtain_plugin(cache, EMULATOR).is_file()


def test_without_a_compiler_there_is_a_reason(cache, tmp_path, monkeypatch):
    folder = tmp_path / "only"
    folder.mkdir()
    script(folder / "qemu-some", "exit 0")
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(BuildError, match="cc is not installed"):
        obtain_plugin(cache, "qemu-some")
    with pytest.raises(BuildError, match="qemu-other is not installed"):
        obtain_plugin(cache, "qemu-other")
