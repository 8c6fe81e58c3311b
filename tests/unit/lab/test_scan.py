"""What `microtvm lab scan` makes of what is plugged in."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_microtvm.boards import load_boards
from pytest_microtvm.lab.file import LabBoard, load_lab
from pytest_microtvm.lab.scan import entry_text, find_boards, lasting_path
from pytest_microtvm.lab.usb import UsbPort

BOARDS = load_boards()
DAPLINK = UsbPort("/dev/microtvm0", "0d28:0204", "0226", "DAPLink")
NUCLEO = UsbPort("/dev/microtvm1", "0483:374b", "066D", "ST-LINK")
DK = [UsbPort(f"/dev/microtvm{n}", "1366:1055", "000105", "J-Link") for n in (2, 3)]
BRIDGES = [UsbPort(f"/dev/microtvm{n}", "10c4:ea60", "", "CP2102N") for n in (4, 5)]
STRANGER = UsbPort("/dev/microtvm6", "1d6b:0002", "1", "hub")


def scan(*ports: UsbPort, known=(), kinds=()):
    return list(find_boards(ports, BOARDS, known, kinds))


def test_a_board_is_known_by_its_usb_ids() -> None:
    (found,) = scan(STRANGER, DAPLINK)
    assert found.board == LabBoard(
        "mimxrt1050_evk", "mimxrt1050_evk", usb="0d28:0204:0226", probe="0226"
    )
    assert entry_text(found).startswith('[[board]]\nname = "mimxrt1050_evk"\n')


def test_a_device_with_several_ports_is_one_board() -> None:
    (found,) = scan(*DK)
    assert found.board == LabBoard("nrf5340dk", "nrf5340dk", port="/dev/microtvm2", probe="105")
    assert "may be /dev/microtvm3" in entry_text(found)


def test_devices_without_serial_numbers_are_boards_each() -> None:
    one, other = (found.board for found in scan(*BRIDGES))
    assert (one.name, other.name) == ("esp32c3_devkitm", "esp32c3_devkitm-2")
    assert (one.port, other.port) == ("/dev/microtvm4", "/dev/microtvm5")


def test_what_may_be_several_boards_is_for_the_user_to_say() -> None:
    (found,) = scan(NUCLEO)
    assert found.kinds == ("nucleo_f746zg", "nucleo_l4r5zi", "stm32f746g_disco")
    text = entry_text(found)
    assert all(line.startswith("# ") for line in text.splitlines())
    assert "One of nucleo_f746zg, nucleo_l4r5zi, stm32f746g_disco" in text
    (found,) = scan(NUCLEO, kinds=["nucleo_l4r5zi"])
    assert found.board.kind == "nucleo_l4r5zi"
    assert "#" not in entry_text(found)


@pytest.mark.parametrize(
    "known",
    [
        LabBoard("mine", "mimxrt1050_evk", usb="0D28:0204:0226"),
        LabBoard("mine", "mimxrt1050_evk", port="/dev/microtvm0"),
    ],
)
def test_what_is_there_is_not_added_again(known) -> None:
    assert scan(DAPLINK, known=[known]) == []


def test_names_are_new() -> None:
    known = LabBoard("mimxrt1050_evk", "mimxrt1050_evk", port="/dev/other")
    (found,) = scan(DAPLINK, known=[known])
    assert found.board.name == "mimxrt1050_evk-2"


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text("\n".join(map(entry_text, scan(DAPLINK, *DK, *BRIDGES, NUCLEO))))
    assert [board.name for board in load_lab(path, BOARDS)] == [
        "mimxrt1050_evk",
        "esp32c3_devkitm",
        "esp32c3_devkitm-2",
        "nrf5340dk",
    ]
    nucleo = path.read_text().partition("# One of ")[2].splitlines()[1:6]
    path.write_text("".join(line.removeprefix("# ") + "\n" for line in nucleo))
    assert [board.usb for board in load_lab(path, BOARDS)] == ["0483:374b:066d"]


def test_paths_that_last(tmp_path: Path) -> None:
    device = tmp_path / "ttyACM7"
    device.touch()
    links = tmp_path / "by-id"
    links.mkdir()
    (links / "usb-ST-if00").symlink_to(device)
    assert lasting_path(str(device), [tmp_path / "none", links]) == str(links / "usb-ST-if00")
    assert lasting_path("/dev/microtvm9", [links]) == "/dev/microtvm9"
