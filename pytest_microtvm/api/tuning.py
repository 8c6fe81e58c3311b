"""The kernels of a model tuned for a core, by measuring on a board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_microtvm.api.environment import Environment, StrPath
from pytest_microtvm.api.models import plain_shapes
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.flow.harness_options import HarnessOptions
from pytest_microtvm.flow.tuning import Tuned, Tuner


def tune(
    model: StrPath,
    output: StrPath,
    *,
    board: str,
    platform: str | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    signature: str | None = None,
    custom_operators: Sequence[StrPath] = (),
    growth_bytes: int | None = None,
    environment: Environment | None = None,
) -> Tuned:
    """Measure on a board how the kernels of a model are written best, and note it in a tuning log.

    Args:
        model: The path of a model's file.
        output: The log; records are added to what is there.
        board: The name of the board, real or emulated.
        platform: The platform that makes its firmware; None for the board's default.
        input_shapes: As of `compile`.
        signature: As of `compile`.
        custom_operators: As of `compile`.
        growth_bytes: By how much the code of all kernels may grow; None for 2 % of code and
            constants, and 1,200 bytes at least.
        environment: Where boards, cache and lab are; None for the defaults.

    Returns:
        What was measured; it is in the log.

    Raises:
        ConfigError: An argument cannot be used, or the log cannot be written.
        MicroTVMError: The model has nothing to choose, cannot be compiled, or the board not be had
            or used.
    """
    environment = environment or Environment()
    target = environment.board(board, platform)
    path, log = Path(model), Path(output)
    _add(log, "")  # before minutes are spent
    options = HarnessOptions(
        timeout_s=environment.timeout_s,
        lease_timeout_s=environment.lease_timeout_s,
        input_shapes=plain_shapes(input_shapes),
        signature=signature,
        custom_operators=tuple(str(Path(file)) for file in custom_operators),
    )
    with environment.open_harness(options) as harness:
        found = Tuner(harness, path, target, growth_bytes, environment.progress).tune()
    _add(log, "".join(f"{record.to_line()}\n" for record in found.records))
    return found


def _add(log: Path, lines: str) -> None:
    """Add lines to a log; without any, make sure that this can be done, and leave no empty file."""
    was_there = log.exists()
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(lines)
    except OSError as error:
        raise ConfigError(
            f"cannot write {log}: {error.strerror or error}",
            cure="choose a folder that can be written",
        ) from error
    if not lines and not was_there:
        log.unlink()
