"""The compiler as a child process: what it gives back, and what is left when it does not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_microtvm import compiler
from pytest_microtvm.compiler import (
    CompileLimits,
    CompileOptions,
    child,
    compile_key,
    compile_model,
    limits,
)
from pytest_microtvm.compiler import __main__ as main_module
from pytest_microtvm.compiler.__main__ import main
from pytest_microtvm.compiler.failures import tvm_failure
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import ConfigError, DoesNotFit, ModelError
from pytest_microtvm.forks import Forks, Program
from pytest_microtvm.mlf import metadata
from pytest_microtvm.mlf.library import open_library
from tests.patience import is_running, wait_until
from tests.unit.compiler.tflite_models import Model, Tensor, add, two_by_two

TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


@pytest.fixture(autouse=True)
def one_import_of_tvm(forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all tests use one fork server, where each compilation would start its own."""
    monkeypatch.setattr(child, "Forks", lambda: contextlib.nullcontext(forks))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "two by two.tflite"
    path.parent.mkdir()
    path.write_bytes(two_by_two().to_bytes())
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where the archive goes: into a folder where anything else would be seen."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "model.tar"


@pytest.fixture
def sleeping_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have the compiler write its process id to the returned file and sleep."""
    pid_file = tmp_path / "pid"

    script = f"""
        open(sys.argv[2], "w").close()
        with open({str(pid_file)!r}, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(60)
    """
    monkeypatch.setattr(child, "COMPILER", program(tmp_path, script))
    return pid_file


def program(folder: Path, script: str) -> Program:
    """Another program in the compiler's place."""
    path = folder / "program.py"
    path.write_text(f"import os, signal, sys, time\n{textwrap.dedent(script)}")
    return Program(str(path))


def test_a_model_becomes_an_archive_step_by_step(model: Path, output: Path):
    steps: list[str] = []
    compile_model(model, output, CompileOptions(), Deadline(TIMEOUT_S), steps.append)
    assert steps == ["importing", "lowering", "planning", "emitting", "writing"]
    library = open_library(output)
    assert library.name == "two_by_two"
    assert list(output.parent.iterdir()) == [output]
    assert "runtime/include/microtvm/model.h" in _members(output)
    assert {"src/two_by_two.relax", "parameters/two_by_two.params"} <= _members(output)


def _members(archive: Path) -> set[str]:
    import tarfile

    with tarfile.open(archive) as opened:
        return set(opened.getnames())


def test_the_same_model_gives_the_same_bytes_in_any_process(
    model: Path, output: Path, monkeypatch: pytest.MonkeyPatch
):
    archives = set()
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        os.utime(model, (int(seed) * 1000, int(seed) * 1000))
        compile_model(model, output, CompileOptions(name="net"), Deadline(TIMEOUT_S))
        archives.add(output.read_bytes())
    assert len(archives) == 1


def test_a_relative_path_and_a_misleading_folder_do_no_harm(
    model: Path, output: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("tvm.py", "json.py"):
        (model.parent / name).write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(model.parent)
    relative = Path(os.path.relpath(output))
    compile_model(Path(model.name), relative, CompileOptions(), Deadline(TIMEOUT_S))
    assert open_library(output).name == "two_by_two"


def test_an_error_of_the_child_arrives_on_one_line(model: Path, output: Path):
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"two by two\.tflite: .*truncated or damaged") as caught:
        compile_model(model, output, CompileOptions(), Deadline(TIMEOUT_S))
    assert caught.value.cure
    assert "\n" not in str(caught.value)
    assert list(output.parent.iterdir()) == []


def test_a_child_that_outlives_its_deadline_is_killed(
    model: Path, output: Path, sleeping_child: Path
):
    with pytest.raises(ModelError, match="took longer than 3 s"):
        compile_model(model, output, CompileOptions(), Deadline(3))
    assert not is_running(int(sleeping_child.read_text()))
    assert list(output.parent.iterdir()) == []


def test_an_interrupt_kills_the_child(model: Path, output: Path, sleeping_child: Path):
    def interrupt() -> None:
        wait_until(lambda: sleeping_child.exists() and bool(sleeping_child.read_text()))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        compile_model(model, output, CompileOptions(), Deadline(TIMEOUT_S))
    thread.join()
    assert not is_running(int(sleeping_child.read_text()))
    assert list(output.parent.iterdir()) == []


def test_a_child_dies_with_a_killed_parent(tmp_path: Path):
    # Its own parent is this test's child, which is killed while the compiler waits for its input.
    fifo = tmp_path / "model.tflite"
    os.mkfifo(fifo)
    script = (
        "from pytest_microtvm.compiler.child import COMPILER\n"
        "from pytest_microtvm.deadline import Deadline\n"
        "from pytest_microtvm.forks import Forks\n"
        f"arguments = [{str(fifo)!r}, '/dev/null']\n"
        "forks, deadline = Forks(), Deadline(60)\n"
        "compiler = forks.start(COMPILER, arguments, (0, 2, 2), deadline=deadline)\n"
        "print(compiler.pid, flush=True)\n"
        "compiler.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    try:
        # Opening the other end succeeds once the compiler has begun to read.
        writer_fd = None
        end = time.monotonic() + TIMEOUT_S
        while writer_fd is None and time.monotonic() < end:
            try:
                writer_fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                time.sleep(0.01)
        assert writer_fd is not None
        assert is_running(pid)
        parent.kill()
        parent.wait()
        wait_until(lambda: not is_running(pid))
        os.close(writer_fd)
    finally:
        parent.kill()
        parent.stdout.close()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ended by signal SIGSEGV"),
        ("sys.exit(3)", "ended with status 3"),
        ("sys.exit()", "ended with status 0"),
    ],
)
def test_a_crash_of_the_compiler_is_an_error_of_the_model(
    script: str,
    message: str,
    model: Path,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(child, "COMPILER", program(tmp_path, script))
    with pytest.raises(ModelError, match=message) as caught:
        compile_model(model, output, CompileOptions(), Deadline(TIMEOUT_S))
    assert caught.value.cure
    assert list(output.parent.iterdir()) == []


def test_the_compiler_runs_in_an_empty_folder_of_its_own(
    model: Path, output: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    seen = tmp_path / "seen"
    script = f"""
        with open({str(seen)!r}, "w") as file:
            print(os.getcwd(), *os.listdir(), sep="\\n", file=file)
    """
    monkeypatch.setattr(child, "COMPILER", program(tmp_path, script))
    with pytest.raises(ModelError):
        compile_model(model, output, CompileOptions(), Deadline(TIMEOUT_S))
    where, *names = seen.read_text().splitlines()
    assert Path(where).is_relative_to(output.parent)
    assert names == []


def test_the_compiler_gets_no_more_memory_than_it_may_have(model: Path, output: Path):
    with pytest.raises(ModelError) as caught:
        compile_model(
            model, output, CompileOptions(), Deadline(TIMEOUT_S), limits=CompileLimits(300 << 20)
        )
    assert list(output.parent.iterdir()) == []
    assert len(str(caught.value).splitlines()) == 1


def test_started_by_hand_the_compiler_has_the_same_limit(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
):
    limits_bytes: list[int] = []
    monkeypatch.setattr(main_module, "_limit_resources", limits_bytes.append)
    arguments = [str(tmp_path / "missing.tflite"), str(output)]
    monkeypatch.setattr(sys, "argv", ["compiler", *arguments])
    assert main() == 1
    assert limits_bytes == [4 << 30]
    assert main(arguments) == 1  # in somebody's process
    assert len(limits_bytes) == 1


def test_more_constants_than_a_board_has_memory_are_refused_before_lowering(
    output: Path, tmp_path: Path
):
    tensors = [
        Tensor("x", [64]),
        Tensor("k", [64], data=np.ones(64, np.float32)),
        Tensor("y", [64]),
    ]
    model = tmp_path / "net.tflite"
    model.write_bytes(Model(tensors, [add([0, 1], 2)], [0], [2]).to_bytes())
    steps: list[str] = []
    arguments = (model, output, CompileOptions(), Deadline(TIMEOUT_S), steps.append)
    with pytest.raises(DoesNotFit, match="its constants take 256 bytes, the board has 255 bytes"):
        compile_model(*arguments, CompileLimits(constants_bytes=255))
    assert steps == ["importing"]
    compile_model(*arguments, CompileLimits(constants_bytes=256))
    assert output.exists()


@pytest.mark.parametrize("raised", [MemoryError(), RuntimeError("InternalError: std::bad_alloc")])
def test_what_ran_out_of_memory_says_so(raised: Exception):
    error = tvm_failure("compile", raised)
    assert "more memory than it may" in str(error)
    assert "microtvm_compile_memory_mb" in error.cure


def test_an_archive_that_could_not_be_opened_is_refused_before_anybody_has_it(
    model: Path, output: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(metadata, "MAX_TENSORS", 1)  # the model has two inputs
    monkeypatch.setattr(limits, "MAX_TENSORS", 2)
    with pytest.raises(SystemExit) as ended:
        sys.exit(main([str(model), str(output)]))
    assert ended.value.code == 1
    assert not output.exists()


@pytest.mark.parametrize("what", ["missing", "folder", "pipe", "device", "loop", "huge"])
def test_a_model_that_is_no_file_is_named(what: str, tmp_path: Path, output: Path):
    model = tmp_path / "net.tflite"
    if what == "folder":
        model.mkdir()
    elif what == "pipe":
        os.mkfifo(model)
    elif what in ("device", "loop"):
        model.symlink_to("/dev/zero" if what == "device" else model)
    elif what == "huge":
        with model.open("wb") as file:
            file.truncate(100 << 30)
    for use in (
        lambda: compile_model(model, output, CompileOptions(), Deadline(TIMEOUT_S)),
        lambda: compile_key(model, CompileOptions()),
    ):
        with pytest.raises(ModelError, match=r"net\.tflite"):
            use()


def test_an_output_folder_that_is_missing_is_named(model: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="nowhere"):
        compile_model(model, tmp_path / "nowhere" / "m.tar", CompileOptions(), Deadline(TIMEOUT_S))


def test_the_parent_never_imports_tvm(model: Path):
    code = (
        "import sys; from pathlib import Path\n"
        "from pytest_microtvm.compiler import *\n"
        f"compile_key(Path({str(model)!r}), CompileOptions())\n"
        "heavy = {'tvm', 'tflite', 'onnx', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# The key.


def test_the_key_covers_what_decides_the_archive(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = CompileOptions()
    keys = [compile_key(model, options), compile_key(model, CompileOptions(name="other"))]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    keys.append(compile_key(model, options))
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    monkeypatch.setattr(compiler, "_version", lambda name: "99")
    keys.append(compile_key(model, options))
    monkeypatch.undo()
    source = tmp_path / "planning.py"
    source.write_text("another compiler")
    monkeypatch.setattr(compiler, "_source_files", lambda: [source])
    keys.append(compile_key(model, options))
    monkeypatch.undo()
    model.write_bytes(model.read_bytes() + b"\0")
    keys.append(compile_key(model, options))
    assert len(set(keys)) == len(keys)


def test_the_key_depends_on_contents_not_on_times_or_folders(model: Path, tmp_path: Path):
    copy = tmp_path / model.name
    copy.write_bytes(model.read_bytes())
    os.utime(copy, (5, 5))
    assert compile_key(model, CompileOptions()) == compile_key(copy, CompileOptions())


def test_the_command_prints_steps_and_errors_by_hand(model: Path, output: Path):
    command = [sys.executable, "-m", "pytest_microtvm.compiler", str(model), str(output)]
    model.write_bytes(b"rubbish of some length")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "importing",
        "two by two.tflite: the file is not a TFLite model; give a file that TFLite exported",
    ]


def test_the_time_of_an_archive_follows_source_date_epoch(
    model: Path, output: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    compile_model(model, output, CompileOptions(name="net"), Deadline(TIMEOUT_S))
    module = open_library(output).metadata["modules"]["net"]
    assert module["export_datetime"] == "2001-09-09 01:46:40Z"
    assert json.dumps(module)
