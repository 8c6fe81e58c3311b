"""What a run costs on the board, with how each figure was obtained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Metric:
    """One measured figure.

    Attributes:
        value: The figure.
        unit: Its unit ("bytes", "us", "instructions").
        source: How it was measured.
        samples: How many measurements the value stands for.
    """

    value: float
    unit: str
    source: str
    samples: int = 1


@dataclass(frozen=True)
class Layer:
    """One call of a kernel in an inference.

    Attributes:
        kernel: The kernel's name in the archive.
        instructions: What the call took, all that it called included.
        macs: Its multiplications with accumulation; None where the archive does not say.
        workspace_bytes: Its scratch memory in the arena.
    """

    kernel: str
    instructions: int
    macs: int | None
    workspace_bytes: int

    @property
    def instructions_per_mac(self) -> float | None:
        """None where it has none, or they are not known."""
        return round(self.instructions / self.macs, 3) if self.macs else None


@dataclass(frozen=True)
class Metrics:
    """The figures of one model on one board with one executor; None where there is none.

    Attributes:
        flash_bytes: Code, constants and initial values, in the board's flash.
        flash_constants_bytes: Of it, the model's constants.
        flash_kernels_bytes: The code of its kernels and of its call plan.
        flash_graph_bytes: Its description, and its graph where the executor has one.
        flash_runtime_bytes: The runtime with the executor.
        flash_other_bytes: The port, the C library, text and padding.
        ram_bytes: Static RAM of the whole firmware, its stack included where it is reserved.
        ram_arena_bytes: Of it, the arena; a graph executor's may be larger than the model's.
        ram_io_bytes: The model's inputs and outputs.
        ram_pool_bytes: What the executor `host_driven` allocates from.
        ram_packet_bytes: The buffer for a packet of the link.
        ram_stack_bytes: The stack's reserve.
        ram_runtime_bytes: The runtime with the executor.
        ram_other_bytes: The port, the C library and padding.
        stack_bytes: The most that was ever on the stack.
        arena_bytes: The one arena of intermediates and kernel workspaces.
        io_bytes: Input and output tensors.
        constants_bytes: The model's constants.
        instructions: Of one inference: the run that took most.
        float_instructions: Of them, those of operators that a quantized model computes in float32
            because they have no integer kernel.
        latency_us: One inference by the board's timer: the fastest of the runs so far.
        layers: The kernels that the inference of `instructions` called, in order.
        absent: Why a figure that could be expected is not there, by name.
    """

    flash_bytes: Metric | None = None
    flash_constants_bytes: Metric | None = None
    flash_kernels_bytes: Metric | None = None
    flash_graph_bytes: Metric | None = None
    flash_runtime_bytes: Metric | None = None
    flash_other_bytes: Metric | None = None
    ram_bytes: Metric | None = None
    ram_arena_bytes: Metric | None = None
    ram_io_bytes: Metric | None = None
    ram_pool_bytes: Metric | None = None
    ram_packet_bytes: Metric | None = None
    ram_stack_bytes: Metric | None = None
    ram_runtime_bytes: Metric | None = None
    ram_other_bytes: Metric | None = None
    stack_bytes: Metric | None = None
    arena_bytes: Metric | None = None
    io_bytes: Metric | None = None
    constants_bytes: Metric | None = None
    instructions: Metric | None = None
    float_instructions: Metric | None = None
    latency_us: Metric | None = None
    layers: tuple[Layer, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)

    def items(self) -> Iterator[tuple[str, Metric]]:
        """Name and figure of all that were measured."""
        for each in fields(self):
            metric = getattr(self, each.name)
            if isinstance(metric, Metric):
                yield each.name, metric
