"""No name of a tensor is one that a C header, a compiler or a language has for something else.

The names are found by preprocessing the headers that generated C includes, with every compiler that
is here; `python -m tests.unit.compiler.test_reserved_names` prints the names that are not reserved.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import pytest_microtvm
from pytest_microtvm.boards import load_boards
from pytest_microtvm.compiler import compile_to_files
from pytest_microtvm.compiler.naming import RESERVED, sanitize
from tests.boards import toolchain_of
from tests.unit.compiler.tflite_models import Model, Operator, Tensor

PACKAGE = Path(pytest_microtvm.__file__).parent
INCLUDES = (PACKAGE / "compiler" / "quantized" / "include", PACKAGE / "runtime" / "include")
LANGUAGES = ("c99", "gnu17", "gnu++17")
SOURCES = ("compiler", "runtime/include")
# What applications include beside the generated header, as C++ or where C's is not free-standing.
FURTHER = ("assert.h", "errno.h", "float.h", "inttypes.h", "limits.h", "stdio.h", "stdlib.h")
# The rest of what applications may include, of C and of C++: as many of them as a compiler has.
LIBRARY = {
    "gnu17": """
        complex.h ctype.h fenv.h iso646.h locale.h setjmp.h signal.h stdalign.h stdatomic.h
        stdnoreturn.h tgmath.h time.h uchar.h wchar.h wctype.h
    """,
    "gnu++17": """
        algorithm any array atomic bitset cassert cctype cerrno cfenv cfloat charconv chrono
        cinttypes climits clocale cmath complex condition_variable csetjmp csignal cstdarg cstddef
        cstdint cstdio cstdlib cstring ctime cuchar cwchar cwctype deque exception filesystem
        forward_list fstream functional future initializer_list iomanip ios iosfwd iostream istream
        iterator limits list locale map memory memory_resource mutex new numeric optional ostream
        queue random ratio regex scoped_allocator set shared_mutex sstream stack stdexcept streambuf
        string string_view system_error thread tuple type_traits typeindex typeinfo unordered_map
        unordered_set utility valarray variant vector version
    """,
}

# What a sketch includes first, for the AVRs of our boards, where their core is installed.
AVR_CORE = Path("/usr/share/arduino/hardware/arduino/avr/cores/arduino")
AVR_HEADERS = ("avr/io.h", "avr/interrupt.h", "avr/pgmspace.h", "util/delay.h", "Arduino.h")

_INCLUDE = re.compile(r"#include <([a-z_]+\.h)>")
# Intrinsics of arm_mve.h, by the thousand, are macros with arguments: no member's name has any.
_MACRO = re.compile(r"^#define (\w+)(?!\S* __arm_)(?!\(.*\) __arm_)", re.MULTILINE)
# No other macro can be taken for a member.
_OBJECT_MACRO = re.compile(r"^#define (\w+)(?!\w|\()", re.MULTILINE)
_TYPE = re.compile(
    r"\btypedef\b[^;{}]*?(\w+)(?:\[\w*\])?;|\}\s*(\w+);|\b(?:struct|union|enum)\s+(\w+)"
)
# What `sanitize` can make: the rest is no tensor's name anyway.
_POSSIBLE = re.compile(r"[A-Za-z](?!\w*__)\w*(?<!_)\Z")


def headers() -> list[str]:
    """The system headers that generated C includes, directly or by the runtime's headers."""
    texts = [
        path.read_text(encoding="utf-8")
        for part in SOURCES
        for path in (PACKAGE / part).rglob("*.[hp]*")
        if path.suffix in (".h", ".py")
    ]
    found = {name for text in texts for name in _INCLUDE.findall(text)}
    return sorted(found | set(FURTHER))


def compilers() -> Iterator[tuple[str, ...]]:
    """The compilers of all boards, each with the flags of each of its CPUs; as commands."""
    for board in load_boards().values():
        toolchain = toolchain_of(board)
        program = shutil.which(f"{toolchain['prefix']}gcc")
        if program is None:
            continue
        places = [word for folder in toolchain["includes"] for word in ("-isystem", folder)]
        yield (program, *toolchain["flags"], *places)


def inclusion(names: Iterable[str]) -> list[str]:
    """Lines that include headers, as far as the compiler has them."""
    return [f"#if __has_include(<{name}>)\n#include <{name}>\n#endif" for name in names]


def of_generated_c() -> list[str]:
    """Lines that include what generated C does."""
    paths = (path for folder in INCLUDES for path in sorted(folder.rglob("*.h")))
    return [*inclusion(headers()), *(f'#include "{path}"' for path in paths)]


def preprocessed(command: tuple[str, ...], language: str, lines: list[str], *flags: str) -> str:
    """These lines, preprocessed."""
    kind = "c++" if "++" in language else "c"
    # Those of instructions that a CPU has not say so by an #error, which is no trouble here.
    result = subprocess.run(
        [*command, f"-std={language}", "-E", *flags, f"-I{INCLUDES[1]}", "-x", kind, "-"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    has_no_cpp = "++" in language and "cc1plus" in result.stderr
    assert result.stdout or has_no_cpp, result.stderr
    return result.stdout


def found_names() -> set[str]:
    """Every macro and type that a tensor's name could clash with."""
    names: set[str] = set()
    commands, lines = sorted(set(compilers())), of_generated_c()
    for command in commands:
        for language in LANGUAGES:
            names.update(_MACRO.findall(preprocessed(command, language, lines, "-dM")))
        for language in ("c99", "gnu11"):
            text = preprocessed(command, language, lines, "-P")
            names.update(name for match in _TYPE.findall(text) for name in match if name)
    for command in {command[0]: command for command in commands}.values():
        for language, library in LIBRARY.items():
            text = preprocessed(command, language, inclusion(library.split()), "-dM")
            names.update(_OBJECT_MACRO.findall(text))
    names.update(of_sketches())
    return {name for name in names if _POSSIBLE.match(name)}


def of_sketches() -> set[str]:
    """The macros that a sketch for an AVR has: its registers, their bits, and the core's own."""
    compiler = shutil.which("avr-gcc")
    found: set[str] = set()
    for board in load_boards().values():
        if compiler is not None and board.cpu.arch == "avr":
            pins = AVR_CORE.parents[1] / "variants" / "standard"
            command = (compiler, f"-mmcu={board.cpu.core}", f"-I{AVR_CORE}", f"-I{pins}")
            text = preprocessed(
                command, "gnu11", inclusion(AVR_HEADERS), "-dM", "-O", "-DF_CPU=16000000"
            )
            found.update(_OBJECT_MACRO.findall(text))
    return found


def missing_names() -> list[str]:
    """Those that a tensor could have; the runtime's own begin like nothing else."""
    return sorted(name for name in found_names() if sanitize(name, "tensor") == name)


def test_names_of_headers_are_reserved() -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing; install it with: apt-get install gcc libc6-dev")
    missing = missing_names()
    assert not missing, f"add to compiler/reserved.py: {' '.join(missing)}"


@pytest.mark.parametrize(
    "name",
    [
        "INT8_MAX",
        "uint8_t",
        "INFINITY",
        "M_PI",
        "size_t",
        "errno",
        "MICROTVM_POOL",
        "MicroTVMModel",
        "ATOMIC_INT_LOCK_FREE",
        "CLOCKS_PER_SEC",
        "FE_UPWARD",
        "LC_ALL",
        "SIGINT",
        "complex",
        "PORTB",
        "SREG",
        "B101",
        "TVMGEN_NET_WORKSPACE_SIZE",
        "tvmgen_net_run",
    ],
)
def test_a_reserved_name_becomes_another(name: str) -> None:
    assert sanitize(name, "tensor") == f"{name}_0"


def test_a_model_of_reserved_names_has_a_header_that_compiles(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing; install it with: apt-get install gcc libc6-dev")
    names = sorted(RESERVED)
    tensors = [Tensor(name, [1]) for name in names] + [Tensor("y", [1])]
    count = min(len(names), 1000)
    step = len(names) // count
    inputs = list(range(0, len(names), step))[:count]
    model = Model(tensors, [Operator("RELU", [0], [len(names)])], inputs, [len(names)])
    path = tmp_path / "net.tflite"
    path.write_bytes(model.to_bytes())
    header = compile_to_files(path)["codegen/host/include/tvmgen_net.h"]
    includes = "".join(f"#include <{name}>\n" for name in headers() if not name.startswith("arm_"))
    for language in ("c99", "gnu11", "c++11", "gnu++17"):
        kind = "c++" if "++" in language else "c"
        command = ["gcc", f"-std={language}", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
        result = subprocess.run(
            [*command, f"-I{INCLUDES[1]}", "-x", kind, "-"],
            input=includes + header.decode(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("language", ["c99", "gnu17", "c++11", "gnu++17"])
def test_a_tensor_may_have_the_name_of_what_the_header_defines(
    language: str, tmp_path: Path
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing; install it with: apt-get install gcc libc6-dev")
    path, include = tmp_path / "net.tflite", "codegen/host/include/tvmgen_net.h"
    model = Model([Tensor("x", [1]), Tensor("y", [1])], [Operator("RELU", [0], [1])], [0], [1])
    path.write_bytes(model.to_bytes())
    words = set(re.findall(r"\b\w*tvm\w*\b", compile_to_files(path)[include].decode(), re.I))
    assert {"TVMGEN_NET_X_SIZE", "tvmgen_net_run"} < words
    tensors = [Tensor(name, [1]) for name in ("x", "y", *sorted(words))]
    inputs = [0, *range(2, len(tensors))]
    path.write_bytes(Model(tensors, [Operator("RELU", [0], [1])], inputs, [1]).to_bytes())
    kind = "c++" if "++" in language else "c"
    result = subprocess.run(
        [
            "gcc",
            f"-std={language}",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fsyntax-only",
            "-x",
            kind,
            "-",
        ],
        input=compile_to_files(path)[include],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, b"")


if __name__ == "__main__":
    sys.stdout.write(f"{' '.join(missing_names())}\n")
