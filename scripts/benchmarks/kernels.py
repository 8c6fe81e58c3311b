"""What models cost on Cortex-M and RISC-V cores, beside TensorFlow Lite Micro with CMSIS-NN.

Each model becomes an image of its own, without RPC, as theirs have none. Instructions are exact
counts: with `-icount shift=0` an instruction takes QEMU one nanosecond of the board's time. The
outputs are compared with those of the same archive on this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.compiler import CompileOptions, compile_to_files
from pytest_microtvm.compiler.pools import Memory
from pytest_microtvm.extensions import EXTERNAL_KERNELS
from pytest_microtvm.measure.elf import read_image
from pytest_microtvm.mlf.library import ModelLibrary, extract_library, open_library, write_library
from scripts.benchmarks.float_rivals import RIVALS

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "conftest_examples" / "models"
IMAGE = Path(__file__).with_name("kernels_image.c")
BASELINE = Path(__file__).with_name("kernels_baseline.json")
BOARDS = ("mps2_an385", "mps2_an386", "mps2_an500", "mps3_an547")
SYSTICK_BOARDS = {"mps3_an547": 32_000_000}
CMSDK_HZ = 25_000_000
INSTRUCTIONS_HZ = 1_000_000_000
"""Of the counter of instructions that RISC-V has."""

MORE_MEMORY = {"mps3_an547": "MORE (r) : ORIGIN = 0x11000000, LENGTH = 0x200000"}
"""Where constants are that a board's flash has no room for: a memory of the FPGA."""

RUNS = 8
STACK_BYTES = 8192
LIMITS = {"mps3_an547": 1.25}
TIMEOUT_S = 600.0

# As the baremetal platform builds models; the image itself is small.
FLAGS = [
    *("-std=gnu99", "-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-common"),
    *("-ffunction-sections", "-fdata-sections", "-Wall", "-Wextra", "-Werror"),
]

LINKER_SCRIPT = """\
ENTRY(Start)
MEMORY {{
  FLASH (rx) : ORIGIN = {flash.origin}, LENGTH = {flash.bytes}
  RAM (rw) : ORIGIN = {ram.origin}, LENGTH = {ram.bytes}
  {more}
}}
PHDRS {{ flash PT_LOAD; constants PT_LOAD; ram PT_NULL; }}
SECTIONS {{
  .text : {{ KEEP(*(.vectors)) *(.text .text.*) }} > FLASH :flash
  .rodata : {{ *(.rodata .rodata.* .srodata .srodata.*) }} > {constants} :constants
  .stack (NOLOAD) : {{ stack_start = .; . += {stack}; stack_end = .; }} > RAM :ram
  .data : {{ *(.data .data.* .sdata .sdata.*) }} > RAM :ram
  .bss (NOLOAD) : {{ *(.bss .bss.* .sbss .sbss.* COMMON) }} > RAM :ram
  ASSERT(SIZEOF(.data) == 0, "the image has no code to copy initial values")
  /DISCARD/ : {{ *(.ARM.exidx* .ARM.extab* .comment .note.*) }}
}}
"""


@dataclass(frozen=True)
class Cost:
    """What a model costs on a board.

    Attributes:
        instructions: Of one inference.
        flash: Bytes of code and constants.
        arena: Bytes of the model's workspace.
        ram: Bytes of the arena, inputs, outputs, variables, and the stack that was used.
        outputs: Bytes of the outputs.
    """

    instructions: float
    flash: int
    arena: int
    ram: int
    outputs: bytes


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench kernels`."""
    parser = commands.add_parser("kernels", help="instructions, flash and RAM beside CMSIS-NN")
    parser.add_argument("--boards", default=",".join(BOARDS), help="default: %(default)s")
    parser.add_argument(
        "--models",
        type=Path,
        nargs="+",
        default=[],
        help="model files beside the int8 models of conftest_examples",
    )
    parser.add_argument(
        "--external",
        action="append",
        default=[],
        metavar="NAME[=PATH]",
        help="count external kernels as well, from these sources, beside ours; those of floats are "
        "blocked_loop (a loop blocked by hand) and cmsis_nn_float=PATH",
    )
    parser.add_argument("--tuning", metavar="LOG", help="a log, or 'none' for untuned kernels")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and compare with the figures of the baseline."""
    baseline = json.loads(BASELINE.read_text())
    cast(dict[str, str], EXTERNAL_KERNELS.built_in).update(RIVALS)
    boards = load_boards()
    names = arguments.boards.split(",")
    models = [*sorted(MODELS.glob("*_int8.tflite")), *arguments.models]
    print(f"baseline: {baseline['source']}")
    print(f"{'board':12} {'model':12} {'instructions':>13} {'ratio':>6}", end=" ")
    print(f"{'flash':>8} {'ratio':>6} {'arena':>7} {'ratio':>6} {'RAM':>7} {'ratio':>6}  outputs")
    rows: list[dict[str, Any]] = []
    kept = True
    for name in names:
        for model in models:
            theirs = baseline["models"].get(hashlib.sha256(model.read_bytes()).hexdigest(), {})
            with tempfile.TemporaryDirectory() as directory:
                cost, is_equal = measure(
                    model, boards[name], Path(directory), tuning=arguments.tuning
                )
            row = _row(name, theirs.get("name", model.stem), cost, theirs, is_equal)
            _print(row)
            for external in arguments.external:
                with tempfile.TemporaryDirectory() as directory:
                    found = measure(model, boards[name], Path(directory), external=external)
                _print_external(external.partition("=")[0], found[0], cost, found[1])
            kept = kept and _keeps(row, LIMITS.get(name, 1.0))
            rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if kept else 1


def measure(
    model: Path,
    board: Board,
    directory: Path,
    by_context: bool = False,
    external: str = "",
    tuning: str | None = None,
) -> tuple[Cost, bool]:
    """Build and run a model on a board and on this machine.

    Args:
        model: The model's file.
        board: A board of `BOARDS`.
        directory: An empty folder to work in.
        by_context: Run it by TVMExecute, not by its own function.
        external: External kernels to take where they can be, with their sources; the computer's
            outputs are those of our own.
        tuning: A tuning log; None for those that come with the package, "none" for neither.

    Returns:
        What it costs on the board, and whether the outputs are equal.
    """
    options = CompileOptions.for_board(board, {}, Memory(), "model", tuning=tuning)
    files = compile_to_files(model, options)
    write_library(directory / "model.tar", files)
    library = open_library(directory / "model.tar")
    root = directory / "library"
    extract_library(directory / "model.tar", root)
    (directory / "model.h").write_text(_model_header(library, by_context))
    sources = [str(IMAGE), *map(str, sorted((root / "codegen/host/src").glob("model_lib*.c")))]
    includes = [f"-I{directory}", f"-I{root / 'codegen/host/include'}"]
    if by_context:
        sources.append(str(root / "codegen/host/src/model_context.c"))
        sources.append(str(root / "runtime/src/context.c"))
        includes.append(f"-I{root / 'runtime/include'}")
    host = directory / "host"
    _call("gcc", *FLAGS, "-DON_HOST", *includes, *sources, "-lm", "-o", str(host))
    expected = _outputs(_call(str(host)))
    if external:
        files = compile_to_files(model, replace(options, external=external))
        write_library(directory / "external.tar", files)
        library = open_library(directory / "external.tar")
        extract_library(directory / "external.tar", directory / "external")
        (directory / "model.h").write_text(_model_header(library, by_context))
        folder = directory / "external/codegen/host"
        sources = [str(IMAGE), *map(str, sorted((folder / "src").glob("model_lib*.c")))]
        library_sources = [*(folder / "src").glob("arm_*.c")]
        sources += sorted(str(path) for path in library_sources if not path.stem.endswith("_f16"))
        sources.append("-w")
        sources.append("-DARM_NN_ENABLE_F32=1")
        includes = [f"-I{directory}", f"-I{folder / 'include'}"]
    image = directory / "image.elf"
    _build(board, directory, [*includes, *sources], image, _constants_bytes(library))
    lines = _call(*_emulator(board), "-kernel", str(image))
    if not all(map(str.isdigit, lines)):
        raise SystemExit(f"{model.name} on {board.name}: {' '.join(lines)}")
    stack, ticks, status, *_ = map(int, lines)
    if status != 0:
        raise SystemExit(f"{model.name} on {board.name}: the model returned {status}")
    size = read_image(image, "model", (), ())
    cost = Cost(
        instructions=ticks * 1e9 / _ticks_hz(board) / RUNS,
        flash=size.flash_bytes,
        arena=library.workspace_bytes,
        ram=size.ram_bytes - STACK_BYTES + stack,
        outputs=_outputs(lines),
    )
    return cost, cost.outputs == expected


def _ticks_hz(board: Board) -> int:
    if board.cpu.arch.startswith("riscv"):
        return INSTRUCTIONS_HZ
    return SYSTICK_BOARDS.get(board.name, CMSDK_HZ)


def _constants_bytes(library: ModelLibrary) -> int:
    functions = library.metadata["modules"][library.name]["memory"]["functions"]
    return int(functions["main"][0]["constants_size_bytes"])


def _build(
    board: Board, directory: Path, arguments: list[str], image: Path, constants_bytes: int
) -> None:
    regions = {region.kind: region for region in board.memory}
    script = directory / "image.ld"
    more = MORE_MEMORY.get(board.name, "")
    fits = not more or constants_bytes < regions["flash"].bytes // 2
    script.write_text(
        LINKER_SCRIPT.format(
            flash=regions["flash"],
            ram=regions["ram"],
            stack=STACK_BYTES,
            more="" if fits else more,
            constants="FLASH" if fits else "MORE",
        )
    )
    toolchain = board.settings["toolchain"]
    timer = ["-DTIMER_SYSTICK"] if board.name in SYSTICK_BOARDS else []
    _call(
        f"{toolchain['prefix']}gcc",
        *(f"-isystem{folder}" for folder in toolchain.get("includes", ())),
        *(*toolchain["flags"], *FLAGS, *timer, *arguments),
        *("-nostdlib", "-static", f"-T{script}", "-Wl,--gc-sections,--build-id=none"),
        *("-Wl,--start-group", *toolchain["libraries"], "-lgcc", "-Wl,--end-group"),
        *("-o", str(image)),
    )


def _emulator(board: Board) -> list[str]:
    if board.emulator is None:
        raise SystemExit(f"{board.name} is not an emulated board")
    return [
        *(board.emulator.program, "-machine", board.emulator.machine),
        *(argument for argument in board.emulator.arguments if argument != "-semihosting"),
        *("-display", "none", "-nodefaults", "-serial", "none", "-icount", "shift=0"),
        *("-chardev", "stdio,id=console"),
        *("-semihosting-config", "enable=on,target=native,chardev=console"),
    ]


_BY_CONTEXT = """\
#include <microtvm/context.h>
static inline int32_t RunByContext(const void *inputs, const void *outputs, const void *pools) {
  struct TVMContext context = {{NULL}, NULL, 0};
  TVMSetWorkspaces(&context, pools);
  return TVMExecute(&tvmgen_model, inputs, outputs, &context);
}"""


def _model_header(library: ModelLibrary, by_context: bool) -> str:
    """Macros by which the image names the tensors of the model."""
    lines = ['#include "tvmgen_model.h"', *([_BY_CONTEXT] if by_context else ())]
    for kind, ports in (("INPUT", library.inputs), ("OUTPUT", library.outputs)):
        offset, setters, floats = 0, [], []
        for port in ports:
            setters.append(f"(s).{port.c_name} = (data) + {offset}")
            if port.dtype == "float32":
                floats.append(f"{{{offset}, {port.size_bytes // 4}}}")
            offset += -(-port.size_bytes // 16) * 16
        lines += [
            f"#define {kind}_BYTES {offset}",
            f"#define SET_{kind}S(s, data) do {{ {'; '.join(setters)}; }} while (0)",
            f"#define MODEL_{kind}S tvmgen_model_{kind.lower()}s",
        ]
        if floats:
            lines.append(f"#define FLOAT_{kind}S {{{', '.join(floats)}}}")
    lines += [
        "#define MODEL_POOLS tvmgen_model_workspace_pools",
        f"#define MODEL_RUN {'RunByContext' if by_context else 'tvmgen_model_run'}",
        f"#define WORKSPACE_BYTES {library.workspace_bytes}",
        f"#define RUNS {RUNS}",
    ]
    return "\n".join(lines) + "\n"


def _call(*command: str) -> list[str]:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout.split()


def _outputs(lines: list[str]) -> bytes:
    return bytes(map(int, lines[3:]))


def _row(
    board: str, model: str, cost: Cost, theirs: Mapping[str, Any], is_equal: bool
) -> dict[str, Any]:
    baseline = {
        "instructions": theirs.get("instructions", {}).get(board),
        # Theirs were measured on Cortex-M4F; the others differ by their code alone.
        **{name: theirs.get(name) for name in ("flash", "arena", "ram")},
    }
    row: dict[str, Any] = {"board": board, "model": model, "equal": is_equal}
    for name, value in baseline.items():
        ours = round(getattr(cost, name))
        row[name] = {"ours": ours, "baseline": value, "ratio": value and round(ours / value, 3)}
    return row


def _print(row: dict[str, Any]) -> None:
    print(f"{row['board']:12} {row['model'][:12]:12}", end="")
    for name, width in (("instructions", 13), ("flash", 8), ("arena", 7), ("ram", 7)):
        ratio = row[name]["ratio"]
        print(f" {row[name]['ours']:{width},} {f'{ratio:.2f}' if ratio else '-':>6}", end="")
    print(f"  {'equal' if row['equal'] else 'DIFFERENT'}", flush=True)


def _print_external(name: str, cost: Cost, ours: Cost, is_equal: bool) -> None:
    """The same model with external kernels, and what ours take of that."""
    print(f"{'':12} {name[:12]:12}", end="")
    for key, width in (("instructions", 13), ("flash", 8), ("arena", 7), ("ram", 7)):
        theirs = getattr(cost, key)
        ratio = getattr(ours, key) / theirs if theirs else 0.0
        print(f" {round(theirs):{width},} {ratio:>6.2f}", end="")
    print(f"  {'equal' if is_equal else 'DIFFERENT'}", flush=True)


def _keeps(row: dict[str, Any], limit: float) -> bool:
    ratios = {name: row[name]["ratio"] or 0.0 for name in ("instructions", "flash", "ram")}
    within = ratios["instructions"] <= limit and ratios["flash"] < 1.0 and ratios["ram"] <= 1.0
    return bool(row["equal"] and within)
