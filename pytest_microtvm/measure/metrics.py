"""What a run costs on the board, with how each figure was obtained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import total_ordering
from typing import Any

from pytest_microtvm.errors import ConfigError


@total_ordering
@dataclass(frozen=True, eq=False, repr=False)
class Metric:
    """One measured figure; it compares with numbers, and with other figures, by its value.

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

    def __eq__(self, other: object) -> bool:
        return self.value == (other.value if isinstance(other, Metric) else other)

    def __lt__(self, other: Metric | float) -> bool:
        return self.value < (other.value if isinstance(other, Metric) else other)

    def __hash__(self) -> int:
        return hash(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return f"{self.value:,} {self.unit}"  # what `assert` shows


class AbsentMetric(Metric):
    """A figure that is not there: false, and an error that says why where its value is needed.

    Args:
        name: The figure's.
        why: The reason.
    """

    def __init__(self, name: str, why: str) -> None:
        self.name: str
        self.why: str
        self.__dict__.update(name=name, why=why)  # it is frozen

    def __getattribute__(self, attribute: str) -> Any:
        if attribute in ("value", "unit", "source", "samples"):
            raise ConfigError(
                f"there is no figure {self.name}: {self.why}",
                cure="ask for it where it can be had; docs/metrics.md says where that is",
            )
        return super().__getattribute__(attribute)

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"none: {self.why}"


_ABSENT = AbsentMetric("", "")
_NOT_RUN = "nothing was run"
_NOT_TOLD = "the platform does not tell"


@dataclass(frozen=True)
class Layer:
    """One call of a kernel in an inference.

    Attributes:
        kernel: The kernel's name in the archive.
        instructions: What the call took, all that it called included.
        macs: Its multiplications with accumulation; None where the archive does not say.
        workspace_bytes: Its scratch memory in the arena.
        cycles: What the call took of the CPU's, counted or estimated; None where neither is known.
    """

    kernel: str
    instructions: int
    macs: int | None
    workspace_bytes: int
    cycles: int | None = None

    @property
    def instructions_per_mac(self) -> float | None:
        """None where it has none, or they are not known."""
        return round(self.instructions / self.macs, 3) if self.macs else None


@dataclass(frozen=True, eq=False, repr=False)
class Metrics:
    """The figures of one model on one board with one executor.

    One that is not there is false, and says why when it is compared or its value is asked for.

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
        dead_macs: Multiplications with accumulation that a quantized model has for nothing, and
            its kernels leave out.
        dead_constants_bytes: Weights and biases that are left out with them.
        instructions: Of one inference: the run that took most.
        float_instructions: Of them, those of operators that a quantized model computes in float32
            because they have no integer kernel.
        cycles: Of the CPU, for one inference, the run that took most: by a real board's counter,
            or where an emulator knows them, as simavr does of an AVR.
        estimated_cycles: What QEMU's instructions take on the core, by the tables of
            `measure.cycles`.
        latency_us: One inference by the board's timer: the fastest of the runs so far.
        layers: The kernels that the inference of `instructions` called, in order.
        absent: Why a figure that could be expected is not there, by name.
    """

    flash_bytes: Metric = _ABSENT
    flash_constants_bytes: Metric = _ABSENT
    flash_kernels_bytes: Metric = _ABSENT
    flash_graph_bytes: Metric = _ABSENT
    flash_runtime_bytes: Metric = _ABSENT
    flash_other_bytes: Metric = _ABSENT
    ram_bytes: Metric = _ABSENT
    ram_arena_bytes: Metric = _ABSENT
    ram_io_bytes: Metric = _ABSENT
    ram_pool_bytes: Metric = _ABSENT
    ram_packet_bytes: Metric = _ABSENT
    ram_stack_bytes: Metric = _ABSENT
    ram_runtime_bytes: Metric = _ABSENT
    ram_other_bytes: Metric = _ABSENT
    stack_bytes: Metric = _ABSENT
    arena_bytes: Metric = _ABSENT
    io_bytes: Metric = _ABSENT
    constants_bytes: Metric = _ABSENT
    dead_macs: Metric = _ABSENT
    dead_constants_bytes: Metric = _ABSENT
    instructions: Metric = _ABSENT
    float_instructions: Metric = _ABSENT
    cycles: Metric = _ABSENT
    estimated_cycles: Metric = _ABSENT
    latency_us: Metric = _ABSENT
    layers: tuple[Layer, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) is _ABSENT:
                why = self.absent.get(each.name) or _why_absent(each.name)
                object.__setattr__(self, each.name, AbsentMetric(each.name, why))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Metrics):
            return NotImplemented
        ours, theirs = ((dict(each.items()), each.layers, each.absent) for each in (self, other))
        return ours == theirs

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(dict(self.items()))} metrics>"  # `assert` shows the one that it is about

    @classmethod
    def from_data(
        cls,
        metrics: Mapping[str, Mapping[str, Any]],
        layers: Sequence[Mapping[str, Any]] = (),
        absent: Mapping[str, str] | None = None,
    ) -> Metrics:
        """The figures that a record has as plain data."""
        names = [each.name for each in fields(Layer)]
        return cls(
            **{name: Metric(**metric) for name, metric in metrics.items()},
            layers=tuple(
                Layer(**{name: layer[name] for name in names if name in layer}) for layer in layers
            ),
            absent=dict(absent or {}),
        )

    def items(self) -> Iterator[tuple[str, Metric]]:
        """Name and figure of all that were measured."""
        for each in fields(self):
            metric = getattr(self, each.name)
            if isinstance(metric, Metric) and metric:
                yield each.name, metric

    def merged(self, other: Metrics) -> Metrics:
        """These figures and those of other runs of the same firmware, as if all had been one.

        The order does not matter: of latencies the fastest stays, of the stack and of instructions
        the most, with the layers of that run. Runs add up. What is measured once, sizes for
        instance, is the same in both.
        """
        found = dict(self.items())
        for name, theirs in other.items():
            ours = found.get(name)
            found[name] = theirs if ours is None else _merged(name, ours, theirs)
        longest = max(self, other, key=_cost)
        if longest.float_instructions:
            samples = found["float_instructions"].samples
            found["float_instructions"] = replace(longest.float_instructions, samples=samples)
        absent = {**other.absent, **self.absent}
        return Metrics(
            **found,
            layers=longest.layers,
            absent={name: why for name, why in absent.items() if name not in found},
        )


def _why_absent(name: str) -> str:
    if name in _DEAD:
        return "nothing that the model computes is dead"
    if name == "cycles":
        return "they are counted by real boards, and by simavr for boards with an AVR"
    if name == "estimated_cycles":
        return "what instructions take is not known of the core, or none are counted"
    return _NOT_RUN if name in (*_FASTEST, *_MOST) else _NOT_TOLD


_DEAD = ("dead_macs", "dead_constants_bytes")
_FASTEST = ("latency_us",)
_MOST = ("stack_bytes", "instructions", "float_instructions", "cycles", "estimated_cycles")


def _merged(name: str, ours: Metric, theirs: Metric) -> Metric:
    if name in _FASTEST:
        chosen = min(ours, theirs, key=lambda metric: metric.value)
    elif name in _MOST:
        chosen = max(ours, theirs, key=lambda metric: metric.value)
    else:
        return ours
    return replace(chosen, samples=ours.samples + theirs.samples)


def _cost(metrics: Metrics) -> tuple[float, list[int]]:
    """What decides which of two runs took most; by the layers where the sums are the same."""
    total = metrics.instructions.value if metrics.instructions else -1.0
    return total, [layer.instructions for layer in metrics.layers]


METRICS = tuple(each.name for each in fields(Metrics) if each.name not in ("layers", "absent"))
"""The names of all figures."""
