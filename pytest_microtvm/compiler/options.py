"""How a model is compiled."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.compiler.pools import Memory
from pytest_microtvm.compiler.tuning_files import UNTUNED, has_shipped_log
from pytest_microtvm.errors import ConfigError, ModelError

MEMORY_BYTES = 4 << 30
"""Address space that compiling a model may take, unless another limit is given."""

MAX_MODEL_BYTES = 256 * 1024 * 1024


def check_file_size(model: Path) -> None:
    """Refuse a file that is too large to be read.

    Raises:
        ModelError: It is.
        OSError: There is no such file.
    """
    size_bytes = model.stat().st_size
    if size_bytes > MAX_MODEL_BYTES:
        raise ModelError(
            f"the model {model} has {size_bytes} bytes, more than {MAX_MODEL_BYTES}",
            cure="use a model that fits a microcontroller",
        )


@dataclass(frozen=True)
class CompileLimits:
    """What compiling a model may take; nothing of it changes an archive.

    Args:
        memory_bytes: Address space of the compiler.
        constants_bytes: What the board has for constants; None where any number of them is fine.
    """

    memory_bytes: int = MEMORY_BYTES
    constants_bytes: int | None = None


@dataclass(frozen=True)
class Reading:
    """How a model file is read where it leaves that open.

    Args:
        input_shapes: As of `CompileOptions`.
        signature: As of `CompileOptions`.
    """

    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    signature: str | None = None

    def __str__(self) -> str:
        told = [self.signature or "", *written_input_shapes(self.input_shapes)]
        return f"[{';'.join(filter(None, told))}]" if any(told) else ""


@dataclass(frozen=True)
class CompileOptions:
    """Options of the compiler; all of them enter the archive's bytes.

    Args:
        name: Names the module, made a C identifier; the stem of the model's file when None.
        simd: Vector instructions that integer kernels are written for: `none`, `dsp`, `helium`,
            `swar64`, `rvv`, or what another package adds (`extensions.CPU_EXTENSIONS`). The
            archives of our own run on every CPU all the same, only slower.
        io_in_arena: Leave room in the arena for inputs and outputs, so that a firmware needs no
            memory of their own for them. An input is lost when the model runs.
        input_shapes: Of inputs whose shapes the model leaves open, by name. What is open and not
            given is 1.
        memory: The pools that its tensors and constants are in.
        signature: The signature that is compiled, of a model with several; None for the model as it
            is without one.
        custom_operators: Python files with custom operators of TFLite models.
        external: Kernels of a library or an accelerator (`extensions.EXTERNAL_KERNELS`) that are
            taken where they can be, with the user's sources that they need: NAME or NAME=PATH.
        core: The CPU core whose tuning log decides how kernels are written, as boards call it;
            empty where none does.
        tuning: A tuning log, beside the one that comes with the package; `none` for neither.
    """

    name: str | None = None
    simd: str = "none"
    io_in_arena: bool = False
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    signature: str | None = None
    custom_operators: tuple[str, ...] = ()
    external: str = ""
    core: str = ""
    tuning: str | None = None

    @classmethod
    def for_board(
        cls,
        board: Board | None,
        input_shapes: Mapping[str, tuple[int, ...]],
        memory: Memory,
        name: str | None = None,
        io_in_arena: bool = False,
        signature: str | None = None,
        custom_operators: tuple[str, ...] = (),
        external: str = "",
        tuning: str | None = None,
    ) -> CompileOptions:
        """The options for a board's CPU and memory; for every CPU where there is no board.

        External kernels are those that the board names, unless others are given. Where their
        sources are not named, the environment variable is asked that `external.variable_of` tells.
        The core is named only where there is a tuning log for it: others share archives.

        Raises:
            ConfigError: The board's regions are to be the pools, and there are none; or there is a
                tuning log and no board.
        """
        if tuning not in (None, UNTUNED):
            if board is None:
                raise ConfigError(
                    f"the tuning log {tuning} is for the cores of boards, and no board is named",
                    cure="name the board that the model is compiled for",
                )
            tuning = str(Path(tuning).absolute())
        has_log = board is not None and (tuning is not None or has_shipped_log(board.cpu.core))
        simd = cls.simd if board is None else board.cpu.simd
        return cls(
            name,
            simd,
            io_in_arena,
            input_shapes,
            memory.on(board),
            signature,
            tuple(str(Path(file).resolve()) for file in custom_operators),
            located(external or ("" if board is None else board.cpu.external)),
            board.cpu.core if board is not None and has_log else "",
            tuning,
        )


def located(external: str) -> str:
    """External kernels with their sources by an absolute path, where these are known.

    Args:
        external: NAME, whose sources the environment may name, or NAME=PATH.
    """
    name, _, path = external.partition("=")
    path = path or (os.environ.get(variable_of(name), "") if name else "")
    return f"{name}={Path(path).absolute()}" if path else name


def variable_of(external: str) -> str:
    """The environment variable that names the user's sources of external kernels."""
    return f"MICROTVM_{re.sub('[^A-Z0-9]', '_', external.upper())}_PATH"


def parse_input_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of inputs as they are written on a command line or in an ini file.

    Args:
        texts: Each as in "name:[1,49,10,1]".

    Raises:
        ConfigError: One of them is written in another way, or a name is given twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        found = re.fullmatch(r"(.+):\[([0-9]+(?:,[0-9]+)*)?\]", text.replace(" ", ""))
        if found is None or found[1] in shapes:
            what = "is no shape of an input" if found is None else "gives an input a second shape"
            raise ConfigError(f"{text!r} {what}", cure="write each input once, as name:[1,49,10,1]")
        shapes[found[1]] = tuple(int(extent) for extent in (found[2] or "").split(",") if extent)
    return shapes


def written_input_shapes(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Shapes as `parse_input_shapes` reads them."""
    return [f"{name}:[{','.join(map(str, shape))}]" for name, shape in shapes.items()]


def export_time_s() -> int:
    """The time that an archive carries, in seconds since 1970.

    It is SOURCE_DATE_EPOCH, or else 0, so that the same model gives the same bytes.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    # More does not fit the header of a tar member.
    return min(int(text), 8**11 - 1) if text.isascii() and text.isdigit() else 0
