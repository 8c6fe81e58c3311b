"""A model held to its reference, without pytest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_microtvm.api.environment import Environment, StrPath
from pytest_microtvm.api.models import model_path, plain_shapes
from pytest_microtvm.boards import Board
from pytest_microtvm.compiler.pools import Memory
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.executors import EXECUTORS
from pytest_microtvm.flow.harness_options import HarnessOptions
from pytest_microtvm.flow.model_under_test import Inputs, ModelUnderTest
from pytest_microtvm.measure.metrics import Metrics
from pytest_microtvm.measure.records import Record
from pytest_microtvm.report.tables import run_report
from pytest_microtvm.verify.compare import Comparison, Tolerance
from pytest_microtvm.verify.references import HOST, check_reference


@dataclass(frozen=True)
class Verdict:
    """What came of a check.

    Attributes:
        comparison: Each output compared with the reference's.
        metrics: What the model costs on the board.
        record: Both, as pytest records them; see docs/records.schema.json.
    """

    comparison: Comparison
    metrics: Metrics
    record: Record

    @property
    def passed(self) -> bool:
        """Whether every element is inside the tolerance."""
        return not self.comparison.mismatched

    def report(self, *, verbose: bool = False, layers: bool = False) -> str:
        """What pytest would show: the table, and where outputs differ.

        Args:
            verbose: Tell where flash and RAM go, and why figures are absent.
            layers: Tell where the instructions of the model go.
        """
        lines = [] if self.passed else [self.comparison.report(), ""]
        return "\n".join([*lines, *run_report([self.record], verbose=verbose, layers=layers)])

    def raise_on_mismatch(self) -> None:
        """Turn a difference into an exception.

        Raises:
            OutputMismatch: Some element is outside the tolerance; says where and how far.
        """
        self.comparison.raise_on_mismatch()


def check(
    model: Any,
    *,
    board: str,
    platform: str | None = None,
    executor: str = EXECUTORS[0],
    inputs: Inputs | StrPath = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    signature: str | None = None,
    custom_operators: Sequence[StrPath] = (),
    memory: Memory | None = None,
    reference: StrPath = HOST,
    rtol: float = Tolerance.rtol,
    atol: float = Tolerance.atol,
    equal_nan: bool = Tolerance.equal_nan,
    environment: Environment | None = None,
) -> Verdict:
    """Run a model on a board, and compare its outputs with a reference's.

    Compiles the model, builds firmware for the board, opens the board (a real one of the lab is
    leased, and flashed if it does not run that firmware yet) and runs the model once there and once
    for the reference. What was compiled or built before is taken from the cache.

    Args:
        model: As of `compile`; or an archive, open or by its path.
        board: The name of the board.
        platform: The platform that makes its firmware; None for the board's default.
        executor: "aot", "graph" or "host_driven".
        inputs: As of `Device.run`; or the path of an `.npz` file with one array per input.
        input_shapes: Shapes of inputs that the model leaves open, by name.
        signature: As of `compile`.
        custom_operators: As of `compile`.
        memory: The pools that a model, if it is no archive, has for tensors; as of `compile`.
        reference: "host" for the same archive on this computer, an executor on the same board,
            "litert", "onnxruntime" or "torch" for what the original model's own interpreter gives
            of it, or the path of an `.npz` file of outputs.
        rtol: Relative tolerance for floats; integers are compared exactly.
        atol: Absolute tolerance for floats.
        equal_nan: Whether a NaN is right where the reference has one.
        environment: Where boards, cache and lab are; None for the defaults.

    Returns:
        The verdict, whatever it is.

    Raises:
        ConfigError: An argument cannot be used.
        MicroTVMError: There is no verdict: the model cannot be compiled, the firmware not built, or
            the board not be had, flashed, opened or used.
        OutputMismatch: The compiled model is not what the model's own interpreter computes, so that
            there is nothing to hold the board to.
    """
    environment = environment or Environment()
    if executor not in EXECUTORS:
        raise ConfigError(
            f"unknown executor {executor!r}", cure=f"executors: {', '.join(EXECUTORS)}"
        )
    target: Board = environment.board(board, platform)
    from_file = Path(inputs) if isinstance(inputs, str | os.PathLike) else None
    options = HarnessOptions(
        timeout_s=environment.timeout_s,
        lease_timeout_s=environment.lease_timeout_s,
        tolerance=Tolerance(rtol, atol, equal_nan),
        inputs=from_file,
        input_shapes=plain_shapes(input_shapes),
        signature=signature,
        custom_operators=tuple(str(Path(file)) for file in custom_operators),
        memory=memory or Memory(),
        reference=check_reference(os.fspath(reference)),
        root=Path.cwd(),
        count_instructions=environment.count_instructions,
    )
    with environment.open_harness(options) as harness:
        path = model_path(
            model,
            options.compile_options(target),
            harness.workshop,
        )
        under_test = ModelUnderTest(harness, path, target, executor, environment.log)
        comparison = under_test.compare(None if isinstance(inputs, str | os.PathLike) else inputs)
        under_test.record.worsen("failed" if comparison.mismatched else "passed")
        metrics = under_test.metrics
    return Verdict(comparison, metrics, under_test.record)
