import dataclasses

import pytest

from pytest_microtvm.boards import Board, Cpu, Emulator, Flash, Toolchain
from pytest_microtvm.boards.selection import missing_tools, select_boards, tags
from pytest_microtvm.errors import ConfigError


def board(name, arch="arm", core="cortex-m4", **values):
    values.setdefault("platform", "baremetal")
    values.setdefault("toolchain", Toolchain(prefix="no-such-"))
    return Board(name=name, cpu=Cpu(arch=arch, core=core), **values)


BOARDS = {
    b.name: b
    for b in (
        board("mps2_an385", core="cortex-m3", emulator=Emulator("qemu-system-none", "mps2-an385")),
        board("mps2_an386", emulator=Emulator("qemu-system-none", "mps2-an386")),
        board("nucleo", flash=Flash("openocd"), toolchain=Toolchain()),
        board("host", arch="host", core="", platform="host", toolchain=Toolchain()),
    )
}


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["host"], ["host"]),
        (["mps2_an386", "mps2_an385"], ["mps2_an386", "mps2_an385"]),
        (["mps2_*"], ["mps2_an385", "mps2_an386"]),
        (["arch:arm"], ["mps2_an385", "mps2_an386"]),
        (["core:cortex-m4"], ["mps2_an386"]),
        (["emulated"], ["mps2_an385", "mps2_an386"]),
        (["platform:host"], ["host"]),
        (["host", "all"], ["host", "mps2_an385", "mps2_an386"]),
        (["available"], ["host"]),
    ],
)
def test_patterns_mean_boards(patterns, names):
    assert list(select_boards(BOARDS, patterns).boards) == names


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["nucleo"], ["nucleo"]),
        (["all"], ["mps2_an385", "mps2_an386", "nucleo", "host"]),
        (["lab"], ["mps2_an385", "nucleo"]),
        (["core:cortex-m4"], ["mps2_an386", "nucleo"]),
        (["available"], ["nucleo", "host"]),
    ],
)
def test_the_lab_has_boards(patterns, names):
    lab = {"nucleo", "mps2_an385"}
    assert list(select_boards(BOARDS, patterns, lab=lab).boards) == names


def test_a_build_takes_no_board():
    assert select_boards(BOARDS, ["nucleo", "host"], lab=None).boards == ("nucleo", "host")


def test_only_a_boards_own_name_names_it():
    selection = select_boards(BOARDS, ["mps2_an385", "mps2_*", "arch:host"])
    assert selection.by_name == {"mps2_an385"}


def test_a_platform_narrows():
    assert select_boards(BOARDS, [], "host").boards == ("host",)
    assert select_boards(BOARDS, ["all"], "host").boards == ("host",)


@pytest.mark.parametrize(
    ("patterns", "platform", "message"),
    [
        (["mps2_an387"], None, "unknown board 'mps2_an387'; boards: mps2_an385"),
        (["mps3_*"], None, "unknown board"),
        (["arch:avr"], None, "no board has the tag 'arch:avr'; tags: arch:arm"),
        ([], "zephyr", "no board has the platform 'zephyr'"),
        (["host"], "baremetal", "board host belongs to platform host"),
        (["nucleo"], None, "no nucleo is here, and nothing emulates it: the lab has no boards"),
        (["nuc*"], None, "no nucleo is here, and nothing emulates it"),
        (["lab"], None, "the lab has no boards; 'microtvm lab scan'"),
    ],
)
def test_what_means_nothing_is_told(patterns, platform, message):
    with pytest.raises(ConfigError) as caught:
        select_boards(BOARDS, patterns, platform)
    assert message in caught.value.one_line()


def test_tags_of_a_board():
    assert tags(BOARDS["mps2_an386"]) == (
        "platform:baremetal",
        "arch:arm",
        "core:cortex-m4",
        "emulated",
    )


def test_missing_tools_are_named():
    assert list(missing_tools(BOARDS["mps2_an385"])) == ["no-such-gcc", "qemu-system-none"]
    assert list(missing_tools(BOARDS["host"])) == []
    library = dataclasses.replace(
        BOARDS["host"], toolchain=Toolchain(libraries=("-lm", "/no/such/libm.a"))
    )
    assert list(missing_tools(library)) == ["/no/such/libm.a"]
