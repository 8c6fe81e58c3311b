"""What can go wrong, as its user meets it: one line that names the thing and the cure."""

import io
import os
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.plugin.running import MODELS, Outcome


@pytest.fixture
def sine(workspace):
    shutil.copy(MODELS / "sine_int8.tflite", workspace / "sine.tflite")
    return workspace / "sine.tflite"


def leftovers(cache: Path) -> list[Path]:
    return list((cache / "tmp").iterdir()) if cache.exists() else []


def assert_usage_error(outcome: Outcome, *texts: str) -> None:
    assert outcome.status == 4, outcome.output
    [line] = outcome.lines("ERROR: ")
    for text in texts:
        assert text in line
    assert "Traceback" not in outcome.output


def assert_test_error(outcome: Outcome, kind: str, *texts: str) -> None:
    """One test, ended by an error of ours: no verdict, one line, none of our code shown."""
    assert outcome.status == 1, outcome.output
    assert "1 error" in outcome.summary
    assert "passed" not in outcome.summary
    assert "failed" not in outcome.summary
    line = next(line for line in outcome.output.splitlines() if line.startswith(f"{kind}: "))
    for text in texts:
        assert text in line, line
    assert "Traceback" not in outcome.output
    assert "pytest_microtvm/" not in outcome.output
    if outcome.records:
        assert outcome.records[0]["outcome"] == "error"


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--microtvm-board=qemu_x68"], ["'qemu_x68'", "qemu_x86"]),
        (["--microtvm-platform=zephyr"], ["no platform zephyr", "baremetal"]),
        (["--microtvm-board=host", "--microtvm-platform=baremetal"], ["host belongs to"]),
        (["--microtvm-board=host", "--microtvm-executor=vm"], ["'vm'", "aot"]),
        (["--microtvm-board=host", "--microtvm-timeout=0"], ["microtvm_timeout is '0'"]),
        (["--microtvm-board=host", "--microtvm-timeout=soon"], ["microtvm_timeout is 'soon'"]),
        (["--microtvm-board=host", "--microtvm-inputs=none.npz"], ["none.npz"]),
        (["--microtvm-board=host", "--microtvm-boards-dir=none"], ["none", "does not exist"]),
        (["--microtvm-board=host", "-o", "microtvm_rtol=-1"], ["microtvm_rtol is '-1'"]),
        (["--microtvm-board=host", "-o", "microtvm_atol=1e999"], ["microtvm_atol is '1e999'"]),
        ([], ["sine.tflite is a model, but no board is named", "--microtvm-board"]),
    ],
)
def test_wrong_usage_ends_before_any_test(run_pytest, sine, arguments, texts):
    assert_usage_error(run_pytest(sine.name, *arguments), *texts)


def test_a_board_file_with_a_typo_names_file_and_key(run_pytest, workspace, sine):
    (workspace / "boards").mkdir()
    (workspace / "boards" / "mine.toml").write_text(
        'name = "mine"\nplatform = "host"\n[cpu]\narch = "host"\nspeed = 3\n'
    )
    outcome = run_pytest(sine.name, "--microtvm-board=mine", "--microtvm-boards-dir=boards")
    assert_usage_error(outcome, "mine.toml", "cpu.speed")


@pytest.mark.parametrize("where", ["file/cache", "/proc/cache"])
def test_an_unwritable_cache_is_told_before_any_test(run_pytest, workspace, sine, where):
    (workspace / "file").write_text("")
    outcome = run_pytest(sine.name, "--microtvm-board=host", cache=Path(where))
    assert_usage_error(outcome, "cannot write the cache", "--microtvm-cache-dir")


def test_an_unwritable_record_is_told_before_any_test(run_pytest, workspace, sine):
    (workspace / "file").write_text("")
    outcome = run_pytest(sine.name, "--microtvm-board=host", "--microtvm-json=file/r.json")
    assert_usage_error(outcome, "file/r.json", "--microtvm-json")


def damaged_models() -> dict[str, bytes]:
    whole = (MODELS / "sine_int8.tflite").read_bytes()
    return {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "cut_at_the_end": whole[:-100],
        "text": b"this is not a model\n" * 50,
        "zeros": bytes(4096),
    }


@pytest.mark.parametrize("damage", damaged_models())
def test_a_damaged_model_is_an_error(run_pytest, workspace, tmp_path, damage):
    (workspace / f"{damage}.tflite").write_bytes(damaged_models()[damage])
    outcome = run_pytest(f"{damage}.tflite", "--microtvm-board=host", cache=tmp_path / "cache")
    assert_test_error(outcome, "ModelError", f"{damage}.tflite")
    assert leftovers(tmp_path / "cache") == []


def hostile_archives() -> dict[str, bytes]:
    def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for info, data in members:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    link = tarfile.TarInfo("codegen/link.c")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device = tarfile.TarInfo("dev")
    device.type = tarfile.CHRTYPE
    return {
        "outside": archive((tarfile.TarInfo("../../outside.txt"), b"x")),
        "absolute": archive((tarfile.TarInfo("/tmp/outside.txt"), b"x")),
        "link": archive((link, b"")),
        "device": archive((device, b"")),
        "bomb": archive((tarfile.TarInfo("zeros"), bytes(1 << 30))),
        "no_metadata": archive((tarfile.TarInfo("other"), b"x")),
        "no_archive": b"nothing",
    }


@pytest.mark.parametrize("kind", hostile_archives())
def test_a_hostile_archive_is_an_error(run_pytest, workspace, tmp_path, kind):
    (workspace / f"{kind}.tar").write_bytes(hostile_archives()[kind])
    before = set(workspace.parent.rglob("*"))
    outcome = run_pytest(f"{kind}.tar", "--microtvm-board=host", cache=tmp_path / "cache")
    assert_test_error(outcome, "ModelError", f"{kind}.tar")
    new = {path.name for path in set(workspace.parent.rglob("*")) - before}
    assert not [name for name in new if name in ("outside.txt", "link.c", "zeros")]
    assert leftovers(tmp_path / "cache") == []


def path_without(directory: Path, *programs: str) -> str:
    """A PATH with everything on it but some programs."""
    directory.mkdir()
    for folder in os.environ["PATH"].split(":"):
        for tool in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if tool.name not in programs and not (directory / tool.name).is_symlink():
                (directory / tool.name).symlink_to(tool)
    return str(directory)


@pytest.mark.parametrize(
    ("program", "kind", "cure"),
    [
        ("qemu-system-i386", "TransportError", "qemu-system-x86"),
        ("i686-linux-gnu-gcc", "BuildError", "gcc-i686-linux-gnu"),
        ("make", "BuildError", "make"),
    ],
)
def test_a_missing_tool_is_an_error_with_its_package(
    run_pytest, sine, tmp_path, program, kind, cure
):
    path = path_without(tmp_path / "bin", program)
    cache = tmp_path / "cache"
    outcome = run_pytest(sine.name, "--microtvm-board=qemu_x86", cache=cache, env={"PATH": path})
    assert_test_error(outcome, kind, program, "is not installed", cure)
    assert leftovers(cache) == []


def test_a_model_too_large_for_the_board_is_told_before_the_build(run_pytest, workspace, tmp_path):
    shutil.copy(MODELS / "keyword_int8.tflite", workspace / "keyword.tflite")
    source = (MODELS.parents[1] / "boards" / "qemu_x86.toml").read_text()
    small = source.replace('name = "qemu_x86"', 'name = "small_pc"')
    small, count = re.subn(r'(name = "ram"[^[]*?\nbytes = )\w+', r"\g<1>80_000", small)
    assert count == 1
    (workspace / "boards").mkdir()
    (workspace / "boards" / "small_pc.toml").write_text(small)
    outcome = run_pytest(
        "keyword.tflite", "--microtvm-board=small_pc", "--microtvm-boards-dir=boards"
    )
    assert_test_error(outcome, "DoesNotFit", "too large", "small_pc", "80000")
    assert not outcome.lines("microtvm: building")


def firmware_image(cache: Path, build_id: str) -> Path:
    return cache / "firmware" / build_id / "project" / "build" / "firmware.elf"


def test_a_wrong_weight_on_the_device_fails_with_a_report(run_pytest, sine, tmp_path):
    cache = tmp_path / "cache"
    first = run_pytest(sine.name, "--microtvm-board=qemu_x86", cache=cache, status=0)
    image = firmware_image(cache, first.records[0]["build_id"])
    plant_wrong_weights(image)
    outcome = run_pytest(sine.name, "--microtvm-board=qemu_x86", cache=cache, status=1)
    assert "1 failed" in outcome.summary
    assert outcome.lines("device differs from the host reference in 1 of 1 elements")
    assert outcome.lines("[0, 0] device ")
    assert outcome.lines("reference")
    [record] = outcome.records
    assert record["outcome"] == "failed"
    assert (record["mismatched"], record["cached"]["firmware"]) == (1, True)
    assert record["max_abs_diff"] >= 1
    assert "Traceback" not in outcome.output


def plant_wrong_weights(image: Path) -> None:
    """Negate every float of the model's largest constant in an ELF file."""
    from elftools.elf.elffile import ELFFile

    with image.open("rb") as file:
        elf = ELFFile(file)
        symbols = [
            symbol
            for symbol in elf.get_section_by_name(".symtab").iter_symbols()
            if "_data_" in symbol.name and symbol["st_size"] >= 64
        ]
        assert symbols, "no constants in the firmware"
        largest = max(symbols, key=lambda symbol: symbol["st_size"])
        section = elf.get_section(largest["st_shndx"])
        offset = section["sh_offset"] + largest["st_value"] - section["sh_addr"]
        size = largest["st_size"]
    data = bytearray(image.read_bytes())
    for index in range(offset + 3, offset + size, 4):
        data[index] ^= 0x80  # the sign of a little-endian float32
    image.write_bytes(data)


def test_stale_firmware_is_an_error_and_no_verdict(run_pytest, workspace, sine, tmp_path):
    cache = tmp_path / "cache"
    shutil.copy(MODELS / "sine_float32.tflite", workspace / "float.tflite")
    arguments = ("--microtvm-board=qemu_x86",)
    right = run_pytest(sine.name, *arguments, cache=cache, status=0)
    other = run_pytest("float.tflite", *arguments, cache=cache, status=0)
    shutil.copy(
        firmware_image(cache, other.records[0]["build_id"]),
        firmware_image(cache, right.records[0]["build_id"]),
    )
    outcome = run_pytest(sine.name, *arguments, cache=cache)
    assert_test_error(outcome, "ProtocolError", "stale firmware", "qemu_x86")


def test_a_broken_device_is_an_error_for_its_test_only(run_pytest, workspace, sine, tmp_path):
    cache = tmp_path / "cache"
    shutil.copy(MODELS / "sine_float32.tflite", workspace / "float.tflite")
    arguments = (sine.name, "float.tflite", "--microtvm-board=qemu_x86", "--microtvm-timeout=3")
    first = run_pytest(*arguments, cache=cache, status=0)
    image = firmware_image(cache, first.records[0]["build_id"])
    image.write_bytes(image.read_bytes()[:1000])
    outcome = run_pytest(*arguments, cache=cache, status=1)
    assert "1 passed, 1 error" in outcome.summary
    assert [record["outcome"] for record in outcome.records] == ["error", "passed"]
    assert "Traceback" not in outcome.output
