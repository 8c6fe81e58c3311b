"""What holds for a whole run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_microtvm.boards import Board
from pytest_microtvm.compiler import MEMORY_BYTES, CompileOptions
from pytest_microtvm.compiler.options import Reading
from pytest_microtvm.compiler.pools import Memory
from pytest_microtvm.flow.workshop import COMPILE_TIMEOUT_S
from pytest_microtvm.verify.compare import Tolerance
from pytest_microtvm.verify.references import HOST


@dataclass(frozen=True)
class HarnessOptions:
    """What holds for a whole run.

    Attributes:
        timeout_s: For opening a device and for each call to it.
        tolerance: For floats, where a test says nothing else.
        inputs: An `.npz` file with the inputs of every model; None to make them.
        reference: What outputs are compared with: `host`, an executor, the model's own interpreter,
            or the path of an `.npz` file with one array per output.
        input_shapes: Of inputs whose shapes a model leaves open, by name.
        signature: The signature of models that is compiled; None for models as they are without.
        custom_operators: Python files with custom operators of TFLite models.
        memory: The pools that models have.
        tuning: As of `CompileOptions`.
        root: Paths of models are recorded relative to it.
        lease_timeout_s: For waiting until a real board is free.
        keep_projects: A folder that gets a copy of every project, also of one that fails to build.
        count_instructions: Whether emulators count them.
        compile_timeout_s: How long compiling a model may take.
        compile_memory_bytes: Address space that it may take.
        check_models: Whether compiled models are held to the models' own interpreters.
    """

    timeout_s: float = 60.0
    tolerance: Tolerance = field(default_factory=Tolerance)
    inputs: Path | None = None
    reference: str | Path = HOST
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    signature: str | None = None
    custom_operators: tuple[str, ...] = ()
    memory: Memory = field(default_factory=Memory)
    tuning: str | None = None
    root: Path = Path()
    lease_timeout_s: float = 600.0
    keep_projects: Path | None = None
    count_instructions: bool = True
    compile_timeout_s: float = COMPILE_TIMEOUT_S
    compile_memory_bytes: int = MEMORY_BYTES
    check_models: bool = True

    def compile_options(
        self, board: Board | None, reading: Reading | None = None
    ) -> CompileOptions:
        """How a model is compiled for a board.

        Args:
            board: None for every CPU.
            reading: How a test wants the model to be read; None as the run does.
        """
        reading = reading or Reading()
        return CompileOptions.for_board(
            board,
            {**self.input_shapes, **reading.input_shapes},
            self.memory,
            signature=reading.signature or self.signature,
            custom_operators=self.custom_operators,
            tuning=self.tuning,
        )
