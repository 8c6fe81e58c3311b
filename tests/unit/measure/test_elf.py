"""What is where in a linked program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_microtvm.errors import BuildError
from pytest_microtvm.measure.elf import RUN_FUNCTION, Image, read_image

SOURCES = {
    "net_lib0.c": """
        const signed char tvmgen_net_data_0[1000] = {1};
        static const int table[25] = {1};
        int tvmgen_net_add(int i);
        int tvmgen_net_add(int i) { return table[i % 25] + tvmgen_net_data_0[i]; }
        """,
    "net_graph.c": 'static const char json[300] = "{}"; const char *tvmgen_net_graph = json;',
    "executor.c": """
        static int state[10];
        int MicroTVMExecutorRun(int i);
        int MicroTVMExecutorRun(int i) { return ++state[i]; }
        """,
    "main.c": """
        static unsigned char microtvm_workspace[512], microtvm_packet[256], others[2000];
        int tvmgen_net_add(int i);
        int MicroTVMExecutorRun(int i);
        extern const char *tvmgen_net_graph;
        int main(int argc, char **argv) {
          (void)argv;
          others[argc] = microtvm_workspace[argc] = microtvm_packet[argc] = 1;
          return tvmgen_net_add(argc) + MicroTVMExecutorRun(argc) + *tvmgen_net_graph;
        }
        """,
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    for name, text in SOURCES.items():
        (folder / name).write_text(text)
    command = ["gcc", "-O0", "-o", "program", *SOURCES]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return folder / "program"


@pytest.fixture(scope="module")
def image(program: Path) -> Image:
    return read_image(program, "net", ["tvmgen_net_add"], ["executor.c"])


def test_parts_are_found_by_their_symbols(image):
    assert image.flash["constants"] == 1000 + 100
    assert 10 < image.flash["kernels"] < 200
    assert 300 <= image.flash["graph"] <= 308
    assert 10 < image.flash["runtime"] < 200
    assert image.ram["arena"] == 512
    assert image.ram["packet"] == 256
    assert image.ram["runtime"] == 40
    assert image.ram["io"] == image.ram["pool"] == image.ram["stack"] == 0
    assert 2000 < image.ram["other"] < 4000


def test_parts_add_up(image):
    assert sum(image.flash.values()) == image.flash_bytes
    assert sum(image.ram.values()) == image.ram_bytes
    assert min(*image.flash.values(), *image.ram.values()) >= 0


def test_functions_have_their_addresses(image, program):
    listing = subprocess.check_output(["nm", program], text=True, timeout=30)
    lines = (line.split() for line in listing.splitlines())
    addresses = {words[2]: int(words[0], 16) for words in lines if len(words) == 3}
    assert image.functions == {name: addresses[name] for name in ("tvmgen_net_add", RUN_FUNCTION)}


def test_a_program_without_symbols_is_all_other(program, tmp_path):
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", stripped, program], check=True, timeout=30)
    image = read_image(stripped, "net", ["tvmgen_net_add"], ["executor.c"])
    assert image.flash["other"] == image.flash_bytes
    assert image.functions == {}


def test_what_is_no_program_is_an_error(tmp_path):
    (tmp_path / "firmware.elf").write_text("no")
    with pytest.raises(BuildError, match="not an ELF program"):
        read_image(tmp_path / "firmware.elf", "net", [], [])
