import pytest

from pytest_microtvm.boards import Board, Cpu, Emulator, Flash, PlatformTable
from pytest_microtvm.boards.selection import (
    THE_BOARD,
    Readiness,
    board_of,
    select_boards,
    tags,
)
from pytest_microtvm.errors import ConfigError


def board(name, arch="arm", core="cortex-m4", **values):
    tables = tuple(PlatformTable(name) for name in values.pop("platforms", ("baremetal",)))
    return Board(name=name, cpu=Cpu(arch=arch, core=core), tables=tables, **values)


BOARDS = {
    b.name: b
    for b in (
        board("mps2_an385", core="cortex-m3", emulator=Emulator("qemu-system-none", "mps2-an385")),
        board("mps2_an386", emulator=Emulator("qemu-system-none", "mps2-an386")),
        board("nucleo", flash=Flash("openocd")),
        board("host", arch="host", core="", platforms=("host",)),
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
    assert list(select_boards(BOARDS, patterns, ready=without_emulators).boards) == names


def without_emulators(boards):
    """As if compilers were here, and no emulator."""
    qemu = Readiness((), ("qemu",), ("apt-get install qemu",))
    return {board.label: Readiness() if board.emulator is None else qemu for board in boards}


def without_anything(boards):
    """As if nothing were here, and the lab had nothing."""
    missing = {"nucleo": ("the platform zephyr",)}
    return {
        board.label: Readiness(
            missing.get(board.name, ("cc",)),
            () if board.emulator or board.name == "host" else (THE_BOARD,),
            (f"apt-get install gcc-{board.cpu.arch}",),
        )
        for board in boards
    }


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
    assert list(select_boards(BOARDS, patterns, lab=lab, ready=without_emulators).boards) == names


def test_a_build_takes_no_board():
    assert select_boards(BOARDS, ["nucleo", "host"], lab=None).boards == ("nucleo", "host")


def test_only_a_boards_own_name_names_it():
    selection = select_boards(BOARDS, ["mps2_an385", "mps2_*", "arch:host"])
    assert selection.by_name == {"mps2_an385"}


def test_a_platform_narrows():
    assert select_boards(BOARDS, [], ["host"]).boards == ("host",)
    assert select_boards(BOARDS, ["all"], ["host"]).boards == ("host",)


SEVERAL = {
    b.name: b
    for b in (
        board("one", platforms=("baremetal", "zephyr")),
        board("two", platforms=("zephyr", "freertos")),
        board("three"),
    )
}


@pytest.mark.parametrize(
    ("patterns", "platforms", "labels"),
    [
        (["one", "two"], [], ["one", "two"]),
        (["one", "two"], ["zephyr"], ["one/zephyr", "two"]),
        (["one"], ["zephyr", "baremetal"], ["one", "one/zephyr"]),
        (["all"], ["baremetal", "freertos"], ["one", "two/freertos", "three"]),
        ([], ["freertos"], ["two/freertos"]),
        (["platform:zephyr"], [], ["one/zephyr", "two"]),
        (["platform:zephyr"], ["baremetal", "zephyr"], ["one/zephyr", "two"]),
        (["one/zephyr"], [], ["one/zephyr"]),
        (["one/baremetal"], [], ["one"]),
        (["t*/*"], [], ["two", "two/freertos", "three"]),
        (["t*"], [], ["two", "three"]),
    ],
)
def test_platforms_are_chosen_among_a_boards(patterns, platforms, labels):
    selection = select_boards(SEVERAL, patterns, platforms)
    assert list(selection.boards) == labels
    chosen = [board_of(SEVERAL, label) for label in labels]
    assert [board.label for board in chosen] == labels


def test_a_board_that_is_named_with_a_platform_is_named():
    assert select_boards(SEVERAL, ["one/zephyr"]).by_name == {"one/zephyr"}
    assert select_boards(SEVERAL, ["one"], ["zephyr"]).by_name == {"one/zephyr"}
    assert select_boards(SEVERAL, ["platform:zephyr"]).by_name == frozenset()


@pytest.mark.parametrize(
    ("patterns", "platform", "message"),
    [
        (
            ["mps2_an387"],
            None,
            "unknown board 'mps2_an387'; is mps2_an386 or mps2_an385 meant? 'microtvm boards'",
        ),
        (["mps2"], None, "unknown board 'mps2'; is mps2_an385 or mps2_an386 meant?"),
        (["HOST"], None, "unknown board 'HOST'; is host meant?"),
        (["zzz"], None, "unknown board 'zzz'; 'microtvm boards' lists all; add your own with"),
        (["mps3_*"], None, "unknown board"),
        (["arch:avr"], None, "no board has the tag 'arch:avr'; tags: arch:arm"),
        ([], "zephyr", "no board has the platform 'zephyr'"),
        (
            ["host"],
            "baremetal",
            "has no table for the platform baremetal, only for host",
        ),
        (["nucleo"], None, "no nucleo is here, and nothing emulates it: the lab has no boards"),
        (["nuc*"], None, "no nucleo is here, and nothing emulates it"),
        (["lab"], None, "the lab has no boards; 'microtvm lab scan'"),
    ],
)
def test_what_means_nothing_is_told(patterns, platform, message):
    with pytest.raises(ConfigError) as caught:
        select_boards(BOARDS, patterns, [platform] if platform else [])
    assert message in caught.value.one_line()


def test_tags_of_a_board():
    assert tags(BOARDS["mps2_an386"]) == (
        "platform:baremetal",
        "arch:arm",
        "core:cortex-m4",
        "emulated",
    )
    cpu = Cpu("arm", fpu="fpv5-d16", float_abi="hard", simd="dsp")
    assert tags(Board("x", cpu, (PlatformTable("zephyr"),))) == (
        "platform:zephyr",
        "arch:arm",
        "fpu:fpv5-d16",
        "float_abi:hard",
        "simd:dsp",
    )


def test_a_board_that_is_not_here_is_advised_to_be_built_only_where_that_can_be_done():
    with pytest.raises(ConfigError) as caught:
        select_boards(BOARDS, ["nucleo"], ready=without_emulators)
    assert "--microtvm-build-only builds its firmware all the same" in caught.value.one_line()
    with pytest.raises(ConfigError) as caught:
        select_boards(BOARDS, ["nucleo"], ready=without_anything)
    line = caught.value.one_line()
    assert "--microtvm-build-only" not in line
    assert line.endswith("nor can its firmware be built here without the platform zephyr")


def test_where_no_board_can_run_the_lines_that_install_one_are_told():
    with pytest.raises(ConfigError) as caught:
        select_boards(BOARDS, ["available"], ready=without_anything)
    assert caught.value.one_line() == (
        "no board can run here; install what one of them takes; for mps2_an385, mps2_an386: "
        "apt-get install gcc-arm; for host: apt-get install gcc-host"
    )


def test_a_platform_that_lacks_the_same_for_all_of_its_boards_is_one_error():
    with pytest.raises(ConfigError) as caught:
        select_boards(BOARDS, [], ["baremetal"], ready=without_anything)
    assert caught.value.one_line() == (
        "no firmware can be built here with baremetal: missing cc; apt-get install gcc-arm"
    )
    assert select_boards(BOARDS, [], ["baremetal"], ready=without_emulators).boards
