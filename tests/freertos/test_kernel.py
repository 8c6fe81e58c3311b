"""What is read of a folder with FreeRTOS: the kernel, its version, its ports, its state."""

from __future__ import annotations

from pathlib import Path

import pytest
from freertos_kernel import Kernel, port_of

from pytest_microtvm.project import server


def make_kernel(folder: Path, version: str = "11.1.0", headers: str = "include") -> Path:
    port = folder / "portable" / "GCC" / "ARM_CM3"
    for path in (folder / headers, port):
        path.mkdir(parents=True)
    major, minor, build = version.split(".")
    (folder / "tasks.c").touch()
    (folder / headers / "FreeRTOS.h").touch()
    (folder / headers / "task.h").write_text(
        f"#define tskKERNEL_VERSION_MAJOR    {major}\n"
        f"#define tskKERNEL_VERSION_MINOR ( {minor} )\n"
        f"#define tskKERNEL_VERSION_BUILD {build}\n"
    )
    (port / "port.c").touch()
    return folder


def refusal(path: str | None) -> dict[str, str]:
    with pytest.raises(server.ProjectError) as caught:
        Kernel.open(path)
    return dict(caught.value.data)


@pytest.mark.parametrize(
    "layout",
    [
        "",
        "Source",
        "FreeRTOS-Kernel",
        "FreeRTOS/Source",
        "Middlewares/Third_Party/FreeRTOS/Source",
    ],
)
def test_the_kernel_is_found_in_what_contains_it(tmp_path, layout):
    folder = make_kernel(tmp_path / layout)
    kernel = Kernel.open(str(tmp_path))
    assert (kernel.folder, kernel.headers) == (folder, folder / "include")
    assert kernel.version == (11, 1, 0)
    kernel.check_port("ARM_CM3")


def test_what_holds_no_kernel_is_one_line_with_the_cure(tmp_path):
    assert refusal(None)["message"] == "no FreeRTOS is named: FREERTOS_PATH is not set"
    error = refusal(str(tmp_path / "nowhere"))
    assert "in which there is no FreeRTOS kernel" in error["message"]
    assert "FreeRTOS/FreeRTOS-Kernel" in error["cure"]
    error = refusal("FreeRTOS-Kernel")
    assert "FREERTOS_PATH is FreeRTOS-Kernel, which is relative to" in error["message"]
    assert error["cure"] == "give it the whole path of the folder"
    make_kernel(tmp_path / "old", "10.2.1")
    assert "FreeRTOS 10.2.1" in refusal(str(tmp_path / "old"))["message"]
    make_kernel(tmp_path / "a b")
    assert "characters that make cannot take" in refusal(str(tmp_path / "a b"))["message"]


def test_a_port_that_is_not_there_is_answered_with_those_like_it(tmp_path):
    kernel = Kernel.open(str(make_kernel(tmp_path)))
    with pytest.raises(server.ProjectError, match="has no port portable/GCC/ARM_CM4F") as caught:
        kernel.check_port("ARM_CM4F")
    assert caught.value.data["cure"] == "ports like it are ARM_CM3"


def test_espressifs_kernel_is_for_esp_idf_alone(tmp_path):
    folder = tmp_path / "components/freertos/FreeRTOS-Kernel"
    make_kernel(folder, "10.5.1", "include/freertos")
    kernel = Kernel.open(str(tmp_path))
    assert kernel.headers == folder / "include" / "freertos"
    with pytest.raises(server.ProjectError) as caught:
        kernel.check_port("RISC-V")
    assert "--format esp-idf-component" in caught.value.data["cure"]
    kernel.check_port("ARM_CM3")  # one that has it is taken


def test_every_change_of_the_kernel_is_another_state(tmp_path):
    kernel = Kernel.open(str(make_kernel(tmp_path)))
    states = {kernel.state("ARM_CM3")}
    for name in ("tasks.c", "include/FreeRTOS.h", "portable/GCC/ARM_CM3/port.c"):
        (tmp_path / name).write_text("/* changed */")
        states.add(kernel.state("ARM_CM3"))
    assert len(states) == 4
    (tmp_path / "README.md").touch()
    assert kernel.state("ARM_CM3") in states


@pytest.mark.parametrize(
    ("core", "fpu", "port"),
    [
        ("cortex-m0", "", "ARM_CM0"),
        ("cortex-m0plus", "", "ARM_CM0"),
        ("cortex-m3", "", "ARM_CM3"),
        ("cortex-m4", "", "ARM_CM3"),
        ("cortex-m4", "fpv4-sp-d16", "ARM_CM4F"),
        ("cortex-m7", "fpv5-d16", "ARM_CM7/r0p1"),
        ("cortex-m33", "", "ARM_CM33_NTZ/non_secure"),
        ("cortex-m55", "mve.fp", "ARM_CM55_NTZ/non_secure"),
        ("cortex-r5", "vfpv3-d16", ""),
    ],
)
def test_a_cpu_has_its_port(core, fpu, port):
    assert port_of({"arch": "arm", "core": core, "fpu": fpu}) == port
    assert port_of({"arch": "riscv32", "core": "rv32imac", "fpu": ""}) == "RISC-V"
