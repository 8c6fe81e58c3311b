"""`cache` and `doctor`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.command.conftest import Microtvm

ROOT = Path(__file__).resolve().parents[2]
SINE = ROOT / "conftest_examples" / "models" / "sine_int8.tflite"


def test_the_cache_is_told_and_cleared(microtvm: Microtvm, tmp_path: Path) -> None:
    place = ("--cache-dir", tmp_path / "mine")
    assert "0.0 MB of at most" in microtvm("cache", "info", *place, status=0).out
    microtvm("compile", SINE, "-o", "m.tar", *place, status=0)
    (tmp_path / "mine" / "virtual-lab").mkdir()
    info = json.loads(microtvm("cache", "info", "--json", *place, status=0).out)
    assert info["kinds"]["mlf"]["entries"] == 1
    assert info["bytes"] > Path("m.tar").stat().st_size
    assert "mlf " in microtvm("cache", "info", *place, status=0).out
    assert microtvm("cache", "clear", *place, status=0).out.startswith("removed ")
    assert json.loads(microtvm("cache", "info", "--json", *place).out)["kinds"] == {}
    assert (tmp_path / "mine" / "virtual-lab").is_dir()
    microtvm("compile", SINE, "-o", "n.tar", *place, status=0)
    assert Path("n.tar").read_bytes() == Path("m.tar").read_bytes()


def test_the_doctor_knows_what_is_missing(
    microtvm: Microtvm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    healthy = microtvm("doctor", "host", status=0).out
    assert healthy.startswith("host: can run here\n")
    assert "apache-tvm: 0." in healthy
    assert "cache: " in healthy
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cc", "make"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tools))
    ill = microtvm("doctor", "qemu_x86", status=1).out.splitlines()[0]
    assert ill.startswith("qemu_x86: ")
    assert "qemu-system-i386 is missing, install it: " in ill
    found = json.loads(microtvm("doctor", "--json", status=0).out)
    assert found["boards"]["qemu_x86"]["runs"] is False
    assert found["versions"]["qemu-system-i386"] == "not installed"
    assert found["cache"] == f"{os.environ['XDG_CACHE_HOME']}/pytest-microtvm"


@pytest.mark.parametrize(
    "arguments",
    [
        ("build",),
        ("flash",),
        ("run",),
        ("boards", "--boards-dir"),
        ("doctor", "host", "--cache-dir"),
    ],
)
def test_a_path_that_the_system_refuses_is_one_line(
    microtvm: Microtvm, arguments: tuple[str, ...]
) -> None:
    told = microtvm(*arguments, "a" * 5000, status=2).err
    assert len(told.splitlines()) == 1
    assert "File name too long; name another" in told
