"""What a run costs on the board, with how each figure was obtained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Metric:
    """One measured figure.

    Attributes:
        value: The figure.
        unit: Its unit ("bytes", "us").
        source: How it was measured.
        samples: How many measurements the value stands for.
    """

    value: float
    unit: str
    source: str
    samples: int = 1


@dataclass(frozen=True)
class Metrics:
    """The figures of one model on one board with one executor; None where there is none.

    Attributes:
        flash_bytes: Code, constants and initial values, in the board's flash.
        ram_bytes: Static RAM of the whole firmware, its stack included where it is reserved.
        arena_bytes: The one arena of intermediates and kernel workspaces.
        io_bytes: Input and output tensors.
        constants_bytes: The model's constants.
        latency_us: One inference by the board's timer: the fastest of the runs so far.
    """

    flash_bytes: Metric | None = None
    ram_bytes: Metric | None = None
    arena_bytes: Metric | None = None
    io_bytes: Metric | None = None
    constants_bytes: Metric | None = None
    latency_us: Metric | None = None

    def items(self) -> Iterator[tuple[str, Metric]]:
        """Name and figure of all that were measured."""
        for field in fields(self):
            metric = getattr(self, field.name)
            if metric is not None:
                yield field.name, metric
