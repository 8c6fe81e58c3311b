"""What can go wrong, as its user meets it: one line that names the thing and the cure."""

import dataclasses
import gzip
import io
import os
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from pytest_microtvm.flow.manifest import write_manifest
from tests.plugin.running import MODELS, Outcome, run_plugin


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
        (["--microtvm-board=qemu_x68"], ["'qemu_x68'", "is qemu_x86 "]),
        (["--microtvm-platform=mbed"], ["no platform mbed", "baremetal"]),
        (
            ["--microtvm-board=host", "--microtvm-platform=baremetal"],
            ["no table for the platform baremetal"],
        ),
        (["--microtvm-board=host", "--microtvm-executor=vm"], ["'vm'", "aot"]),
        (["--microtvm-board=host", "--microtvm-timeout=0"], ["microtvm_timeout is '0'"]),
        (["--microtvm-board=host", "--microtvm-timeout=soon"], ["microtvm_timeout is 'soon'"]),
        (["--microtvm-board=host", "--microtvm-inputs=none.npz"], ["none.npz"]),
        (["--microtvm-board=host", "--microtvm-boards-dir=none"], ["none", "does not exist"]),
        (["--microtvm-board=host", "-o", "microtvm_rtol=-1"], ["microtvm_rtol is '-1'"]),
        (["--microtvm-board=host", "-o", "microtvm_atol=1e999"], ["microtvm_atol is '1e999'"]),
        (["--microtvm-board=host", "-o", "microtvm_cache_size_mb=1e308"], ["is '1e308'", "1e+09"]),
        (["--microtvm-board=host", f"--microtvm-boards-dir={'a' * 5000}"], ["File name too long"]),
        (["--microtvm-board=host", f"{'a' * 5000}.tflite"], ["File name too long"]),
        ([], ["sine.tflite is a model, but no board is named", "--microtvm-board"]),
        (["net.h5"], ["net.h5: Keras models", "TFLiteConverter"]),
        (["net.keras", "--microtvm-board=host"], ["net.keras: Keras models", "TFLiteConverter"]),
        (["net.pt"], ["net.pt: PyTorch models", "torch.export"]),
        (["net.PTH", "--microtvm-board=host"], ["net.PTH: PyTorch models", "torch.export"]),
        (["net.safetensors"], ["net.safetensors: these are weights", "export the model"]),
        (["net.TFLITE"], ["net.TFLITE is a model, but no board is named"]),
    ],
)
def test_wrong_usage_ends_before_any_test(run_pytest_inside, workspace, sine, arguments, texts):
    named = arguments and arguments[0].startswith("net.")
    if named:
        (workspace / arguments[0]).write_bytes(b"model")
    models = [] if named else [sine.name]
    assert_usage_error(run_pytest_inside(*models, *arguments), *texts)


def test_a_board_file_with_a_typo_names_file_and_key(run_pytest_inside, workspace, sine):
    (workspace / "boards").mkdir()
    (workspace / "boards" / "mine.toml").write_text(
        'name = "mine"\nplatform = "host"\n[cpu]\narch = "host"\nspeed = 3\n'
    )
    outcome = run_pytest_inside(sine.name, "--microtvm-board=mine", "--microtvm-boards-dir=boards")
    assert_usage_error(outcome, "mine.toml", "cpu.speed")


@pytest.mark.parametrize("where", ["file/cache", "/proc/cache"])
def test_an_unwritable_cache_is_told_before_any_test(run_pytest_inside, workspace, sine, where):
    (workspace / "file").write_text("")
    outcome = run_pytest_inside(sine.name, "--microtvm-board=host", cache=Path(where))
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


# What is told of each archive.
HOSTILE = {
    "outside": "..",
    "absolute": "/tmp/outside.txt",
    "link": "codegen/link.c",
    "device": "dev",
    "bomb": "no uncompressed tar file",
    "no_metadata": "metadata.json",
    "no_archive": "no uncompressed tar file",
}


def archive(name: str, data: bytes = b"x", **fields: object) -> bytes:
    """A tar archive of one member."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as tar:
        tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def bomb() -> bytes:
    """A compressed archive of a file of 1 GiB."""
    member = tarfile.TarInfo("zeros")
    member.size = 1 << 30
    return gzip.compress(member.tobuf()) + gzip.compress(bytes(1 << 20)) * (1 << 10)


def hostile_archives() -> dict[str, bytes]:
    return {
        "outside": archive("../../outside.txt"),
        "absolute": archive("/tmp/outside.txt"),
        "link": archive("codegen/link.c", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "device": archive("dev", b"", type=tarfile.CHRTYPE),
        "bomb": bomb(),
        "no_metadata": archive("other"),
        "no_archive": b"nothing",
    }


@dataclasses.dataclass(frozen=True)
class BadModels:
    """A run of models of which none is one."""

    outcome: Outcome
    names: list[str]
    new: set[str]  # names of what it left anywhere
    leftovers: list[Path]


@pytest.fixture(scope="module")
def run_of_bad_models(tmp_path_factory) -> BadModels:
    """One run of all damaged models and hostile archives."""
    workspace = tmp_path_factory.mktemp("bad_models") / "project"
    workspace.mkdir()
    (workspace / "pytest.ini").write_text("[pytest]\n")
    names = []
    for name, data in damaged_models().items():
        names.append(f"{name}.tflite")
        (workspace / names[-1]).write_bytes(data)
    for name, data in hostile_archives().items():
        names.append(f"{name}.tar")
        (workspace / names[-1]).write_bytes(data)
    before = set(workspace.parent.rglob("*"))
    cache = workspace.parent / "cache"
    outcome = run_plugin(workspace, *names, "--microtvm-board=host", cache=cache, status=1)
    new = {path.name for path in set(workspace.parent.rglob("*")) - before}
    return BadModels(outcome, names, new, leftovers(cache))


def test_damaged_models_and_hostile_archives_leave_nothing(run_of_bad_models):
    outcome = run_of_bad_models.outcome
    assert outcome.summary.strip("= ").startswith(f"{len(run_of_bad_models.names)} errors in ")
    assert {record["outcome"] for record in outcome.records} == {"error"}
    assert "Traceback" not in outcome.output
    assert "pytest_microtvm/" not in outcome.output
    assert run_of_bad_models.new.isdisjoint({"outside.txt", "link.c", "zeros"})
    assert run_of_bad_models.leftovers == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((f"{name}.tflite", "") for name in damaged_models()),
        *((f"{name}.tar", text) for name, text in HOSTILE.items()),
    ],
)
def test_a_damaged_model_or_a_hostile_archive_is_an_error(run_of_bad_models, name, text):
    sections = re.split(
        r"^_+ ERROR at setup of (\S+) aot\[host\] _+$",
        run_of_bad_models.outcome.output,
        flags=re.M,
    )
    lines = sections[sections.index(name) + 1].strip().splitlines()
    assert lines[0].startswith("ModelError: "), lines
    assert name in lines[0]
    assert text in lines[0]


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
    assert not outcome.lines("for small_pc (")


def firmware_image(cache: Path, build_id: str) -> Path:
    return cache / "firmware" / build_id / "project" / "build" / "firmware.elf"


def replace_image(image: Path, data: bytes) -> None:
    """Put other bytes into a firmware's image, as if they had been built so."""
    image.write_bytes(data)
    write_manifest(image.parents[2])


def test_a_wrong_weight_on_the_device_fails_with_a_report(run_pytest, warm_cache, sine):
    cache, first = warm_cache(sine.name, "--microtvm-board=qemu_x86")
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
    replace_image(image, bytes(data))


def test_stale_firmware_is_an_error_and_no_verdict(run_pytest, warm_cache, workspace, sine):
    shutil.copy(MODELS / "sine_float32.tflite", workspace / "float.tflite")
    arguments = ("--microtvm-board=qemu_x86",)
    cache, both = warm_cache(sine.name, "float.tflite", *arguments)
    images = {record["model"]: firmware_image(cache, record["build_id"]) for record in both.records}
    replace_image(images[sine.name], images["float.tflite"].read_bytes())
    outcome = run_pytest(sine.name, *arguments, cache=cache)
    assert_test_error(outcome, "ProtocolError", "stale firmware", "qemu_x86")


def test_a_broken_device_is_an_error_for_its_test_only(run_pytest, warm_cache, workspace, sine):
    shutil.copy(MODELS / "sine_float32.tflite", workspace / "float.tflite")
    arguments = (sine.name, "float.tflite", "--microtvm-board=qemu_x86")
    cache, first = warm_cache(*arguments)
    image = firmware_image(cache, first.records[0]["build_id"])
    replace_image(image, image.read_bytes()[:1000])
    outcome = run_pytest(*arguments, "--microtvm-timeout=3", cache=cache, status=1)
    assert "1 passed, 1 error" in outcome.summary
    assert [record["outcome"] for record in outcome.records] == ["error", "passed"]
    assert "Traceback" not in outcome.output
