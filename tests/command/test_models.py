"""`compile`, `check` and `boards`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.mlf.library import open_libraries, open_library
from tests.command.conftest import Microtvm

ROOT = Path(__file__).resolve().parents[2]
SINE = ROOT / "conftest_examples" / "models" / "sine_int8.tflite"


def test_compile_tells_what_it_made(microtvm: Microtvm) -> None:
    ended = microtvm(
        "compile", SINE, "-o", "m.tar", "--board", "mps2_an386", "--name", "wave",
        "--io-in-arena", "--dump-code", "c,graph", status=0,
    )  # fmt: skip
    library = open_library(Path("m.tar"))
    assert library.name == "wave"
    lines = ended.out.splitlines()
    assert lines[0] == f"m.tar: {Path('m.tar').stat().st_size:,} bytes, model wave"
    assert lines[1:3] == ["  input x: int8[1, 1]", "  output y: int8[1, 1]"]
    assert f"arena {library.workspace_bytes:,} bytes" in lines[3]
    assert lines[-2:] == ["wrote m.tar.c", "wrote m.tar.graph"]
    assert "tvmgen_wave_run" in Path("m.tar.c").read_text()
    assert json.loads(Path("m.tar.graph").read_text())["nodes"]
    facts = json.loads(microtvm("compile", SINE, "-o", "n.tar", "--json", status=0).out)
    assert facts["inputs"] == [{"name": "x", "dtype": "int8", "shape": [1, 1]}]


def test_compile_tells_what_is_in_each_pool(microtvm: Microtvm) -> None:
    Path("pools.toml").write_text(
        '[[workspace_pools]]\nname = "fast"\nsize = "48"\n'
        '[[workspace_pools]]\nname = "slow"\n[[constant_pools]]\nname = "weights"\nsize = "1K"\n'
    )
    ended = microtvm("compile", SINE, "-o", "m.tar", "--pool", "pools.toml", status=0)
    library = open_library(Path("m.tar"))
    fast, slow = library.pools
    assert fast.size_bytes <= 48
    told = [line for line in ended.out.splitlines() if "pool" in line]
    assert told[:2] == [f"  pool {fast}", f"  pool {slow}"]
    assert f"{fast.size_bytes} of 48 bytes, {fast.bound_bytes} alive at once" in told[0]
    assert told[2].startswith("  constant pool weights ")
    facts = json.loads(microtvm("compile", SINE, "-o", "n.tar", "--json", status=0).out)
    assert [pool["name"] for pool in facts["pools"]] == ["workspace"]


def test_several_models_become_one_archive(microtvm: Microtvm) -> None:
    Path("other.tflite").write_bytes(SINE.read_bytes())
    arguments = ("-o", "both.tar", "--pool", "name=sram")
    ended = microtvm("compile", SINE, "other.tflite", *arguments, status=0)
    assert [name for name in ("sine_int8", "other") if f"model {name}" in ended.out] == [
        "sine_int8",
        "other",
    ]
    assert [library.name for library in open_libraries(Path("both.tar"))] == ["sine_int8", "other"]
    refused = microtvm("check", "both.tar", "--board", "host", status=1)
    assert "holds 2 models, not one: sine_int8, other" in refused.err
    refused = microtvm("compile", SINE, SINE, "-o", "both.tar", status=2)
    assert "the same" in refused.err


def test_compile_refuses(microtvm: Microtvm) -> None:
    assert "required: -o/--output" in microtvm("compile", SINE, status=2).err
    assert "does not exist" in microtvm("compile", "no.tflite", "-o", "m.tar", status=1).err
    assert "'rust' is none of c, relax, graph" in (
        microtvm("compile", SINE, "-o", "m.tar", "--dump-code", "rust", status=2).err
    )
    assert "is no shape of an input" in (
        microtvm("compile", SINE, "-o", "m.tar", "--input-shapes", "x=1", status=2).err
    )
    for option, value, message in (
        ("--pool", "dtcm", "is no KEY=VALUE"),
        ("--pool", "none.toml", "cannot read none.toml"),
        ("--pool", "board", "no board is named"),
        ("--io-pool", "sram", "no workspace pool 'sram'"),
        ("--external", "tpu", "no library of external kernels 'tpu'"),
    ):
        ended = microtvm("compile", SINE, "-o", "m.tar", option, value, status=2)
        assert message in ended.err
        assert "Traceback" not in ended.err
    Path("bad.tflite").write_bytes(b"nonsense")
    assert "bad.tflite" in microtvm("compile", "bad.tflite", "-o", "m.tar", status=1).err
    assert not Path("m.tar").exists()


def test_check_gives_the_verdict_and_its_status(microtvm: Microtvm) -> None:
    ended = microtvm("check", SINE, "--board", "host", status=0)
    assert ended.out.startswith("sine_int8.tflite on host by aot: tests passed, verdict match")
    record = json.loads(microtvm("check", SINE, "--board", "host", "--json", status=0).out)
    assert (record["outcome"], record["elements"]) == ("passed", 1)
    np.savez("y.npz", y=np.full((1, 1), 127, np.int8))
    failed = microtvm("check", SINE, "--board", "host", "--reference", "y.npz", status=1)
    assert failed.out.startswith("device differs from y.npz in 1 of 1 elements")
    assert "unknown board 'hots'" in microtvm("check", SINE, "--board", "hots", status=2).err
    assert "there is no model no.tflite" in (
        microtvm("check", "no.tflite", "--board", "host", status=2).err
    )


def test_evaluate_prints_both_figures(microtvm: Microtvm) -> None:
    np.savez("x.npz", x=np.arange(6, dtype=np.int8)[:, None])
    np.save("y.npy", np.zeros((6, 1)))
    given = ("evaluate", SINE, "--board", "host", "-i", "x.npz", "--labels", "y.npy")
    lines = microtvm(*given, "--metric", "mse", status=0).out.splitlines()
    assert lines[0] == "mse of 6 samples"
    assert lines[1].split(": ")[1] == lines[2].split(": ")[1]
    assert lines[3] == "  samples whose outputs differ: 0"
    found = json.loads(microtvm(*given, "--metric", "mse", "--json", status=0).out)
    assert found["device"] == found["host"] > 0
    assert "labels of dtype float64" in microtvm(*given, status=2).err


@pytest.mark.parametrize("patterns", [[], ["mps2_*"], ["host", "core:cortex-m4"]])
def test_boards_are_listed(microtvm: Microtvm, patterns: list[str]) -> None:
    listed = json.loads(microtvm("boards", *patterns, "--json", status=0).out)
    names = [board["name"] for board in listed]
    rows = microtvm("boards", *patterns, status=0).out.split("\n\n")[0].splitlines()
    assert [row.split()[0] for row in rows] == ["BOARD", *names]
    if not patterns:
        assert names == list(load_boards())
    else:
        assert 0 < len(names) < len(load_boards())
    assert "no board is 'zz'" in microtvm("boards", "zz", status=2).err
