"""What is read of a Zephyr tree: its version, its boards, its modules, and its state."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from zephyr_tree import ZephyrTree, unknown_board

from pytest_microtvm.project import server

WEST = """\
manifest:
  projects:
    - name: cmsis
      revision: 1
      path: modules/hal/cmsis
    - name: hal_acme
      revision: 2
      path: modules/hal/acme
    - name: flat
      revision: 3
"""


def make_tree(folder: Path, version: str = "3.3.0") -> Path:
    base = folder / "zephyr"
    base.mkdir(parents=True)
    major, minor, patch = version.split(".")
    (base / "VERSION").write_text(
        f"VERSION_MAJOR = {major}\nVERSION_MINOR = {minor}\nPATCHLEVEL = {patch}\n"
    )
    return base


def add_board(base: Path, vendor: str, name: str) -> None:
    folder = base / "boards" / vendor / name
    folder.mkdir(parents=True)
    (folder / f"{name}_defconfig").touch()
    (folder / "board.yml").write_text(f"board:\n  name: {name}\n  vendor: {vendor}\n")


def refusal(base: str | None) -> server.ProjectError:
    with pytest.raises(server.ProjectError) as caught:
        ZephyrTree.open(base)
    return caught.value


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.7.5", "nrf5340dk_nrf5340_cpuapp"),
        ("3.6.0", "nrf5340dk_nrf5340_cpuapp"),
        ("3.7.0", "nrf5340dk/nrf5340/cpuapp"),
        ("4.1.0", "nrf5340dk/nrf5340/cpuapp"),
    ],
)
def test_boards_are_called_as_the_release_calls_them(tmp_path, version, expected):
    tree = ZephyrTree.open(str(make_tree(tmp_path, version)))
    assert tree.board_name("nrf5340dk/nrf5340/cpuapp", "") == expected
    assert tree.board_name("mps2/an385", "mps2_an385") == (
        "mps2/an385" if "/" in expected else "mps2_an385"
    )


def test_qualifiers_are_those_of_the_release(tmp_path):
    base = make_tree(tmp_path, "3.7.0")
    add_board(base, "arm", "mps3")
    tree, names = ZephyrTree.open(str(base)), ("mps3/corstone300/an547", "mps3_an547")
    assert tree.board_name(*names) == "mps3/corstone300/an547"  # nothing tells otherwise
    folder = base / "boards" / "arm" / "mps3"
    (folder / "mps3_an547.yaml").write_text("identifier: mps3/an547\nname: MPS3\n")
    assert tree.board_name(*names) == "mps3/an547"
    (folder / "mps3_corstone300_an547.yaml").write_text("identifier: mps3/corstone300/an547\n")
    assert tree.board_name(*names) == "mps3/corstone300/an547"


def test_no_zephyr_is_one_line_with_the_cure(tmp_path):
    assert "ZEPHYR_BASE is not set" in refusal(None).data["message"]
    error = refusal(str(tmp_path / "nowhere"))
    assert "is no Zephyr tree" in error.data["message"]
    assert "Getting Started" in error.data["cure"]
    make_tree(tmp_path)
    assert refusal(str(tmp_path)).data["cure"] == f"is {tmp_path / 'zephyr'} meant?"
    old = make_tree(tmp_path / "old", "2.6.1")
    assert "Zephyr 2.6.1" in refusal(str(old)).data["message"]


@pytest.mark.parametrize("version", ["3.3.0", "4.0.0"])
def test_a_board_that_is_not_there_is_answered_with_the_nearest(tmp_path, version):
    base = make_tree(tmp_path, version)
    for name in ("nucleo_f746zg", "nucleo_l4r5zi", "qemu_x86", "frdm_k64f"):
        add_board(base, "arm", name)
    tree = ZephyrTree.open(str(base))
    assert tree.boards() == ["frdm_k64f", "nucleo_f746zg", "nucleo_l4r5zi", "qemu_x86"]
    error = unknown_board(tree, "nucleo_f756zg")
    assert "has no board nucleo_f756zg" in error.data["message"]
    assert error.data["cure"] == "the nearest ones are nucleo_f746zg, nucleo_l4r5zi"


def test_modules_are_those_of_the_manifest_that_are_there(tmp_path, monkeypatch):
    base = make_tree(tmp_path)
    (base / "west.yml").write_text(WEST)
    monkeypatch.delenv("ZEPHYR_MODULES", raising=False)
    tree = ZephyrTree.open(str(base))
    assert tree.modules() == {}
    (tmp_path / ".west").mkdir()
    (tmp_path / ".west" / "config").touch()
    for path in ("modules/hal/cmsis", "flat"):
        (tmp_path / path).mkdir(parents=True)
    assert list(tree.modules()) == ["cmsis", "flat"]
    other = tmp_path / "elsewhere" / "acme"
    (other / "zephyr").mkdir(parents=True)
    (other / "zephyr" / "module.yml").write_text("name: hal_acme\n")
    monkeypatch.setenv("ZEPHYR_MODULES", str(other))
    assert tree.modules()["hal_acme"] == other


def test_a_module_without_a_name_has_the_manifests(tmp_path, monkeypatch):
    base = make_tree(tmp_path)
    (base / "west.yml").write_text(WEST)
    folder = tmp_path / "elsewhere" / "modules" / "hal" / "acme"
    (folder / "zephyr").mkdir(parents=True)
    (folder / "zephyr" / "module.yml").write_text("build:\n  cmake: .\n")
    monkeypatch.setenv("ZEPHYR_MODULES", str(folder))
    assert ZephyrTree.open(str(base)).modules() == {"hal_acme": folder}


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    command = ["git", "-C", str(folder), *identity, *arguments]
    subprocess.run(command, check=True, capture_output=True)


def test_every_change_of_the_tree_is_another_state(tmp_path):
    base = make_tree(tmp_path)
    (base / "kernel.c").write_text("int x;\n")
    tree = ZephyrTree.open(str(base))
    states = [tree.state()]
    (base / "kernel.c").write_text("int xy;\n")
    states.append(tree.state())
    git(base, "init", "-q")
    git(base, "add", "-A")
    git(base, "commit", "-qm", "one")
    states.append(tree.state())
    assert tree.state() == states[-1]
    (base / "kernel.c").write_text("int yx;\n")  # of the same size
    states.append(tree.state())
    git(base, "commit", "-qam", "two")
    states.append(tree.state())
    assert len(set(states)) == len(states)
