"""Takes the figures of a firmware and of the device that runs it."""

from __future__ import annotations

import contextlib
from typing import Any

from pytest_microtvm.errors import ModelError
from pytest_microtvm.executors import HOST_DRIVEN
from pytest_microtvm.measure.arena import arena_of
from pytest_microtvm.measure.counting import Counter, Counts
from pytest_microtvm.measure.cycles import core_model
from pytest_microtvm.measure.metrics import Layer, Metric, Metrics
from pytest_microtvm.measure.records import Record
from pytest_microtvm.mlf.graph import parse_graph
from pytest_microtvm.mlf.library import read_graph
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.session.device import Session


def measure(firmware: Firmware, session: Session | None = None) -> Metrics:
    """What a firmware costs, as far as it is known.

    Args:
        firmware: The built firmware.
        session: The device that runs it, once there is one.
    """
    library = firmware.library
    io_bytes = sum(spec.size_bytes for spec in library.inputs + library.outputs)
    found = {
        "arena_bytes": Metric(library.workspace_bytes, "bytes", "MLF memory plan"),
        "io_bytes": Metric(io_bytes, "bytes", "MLF tensor sizes"),
        "constants_bytes": Metric(library.constants_bytes, "bytes", "MLF constants"),
        **_image_metrics(firmware),
    }
    dead = library.dead_weights
    if dead is not None:
        found["dead_macs"] = Metric(dead.macs, "MACs", "MLF dead weights")
        found["dead_constants_bytes"] = Metric(dead.constants_bytes, "bytes", "MLF dead weights")
    absent = {}
    layers: tuple[Layer, ...] = ()
    if session is not None and session.latency_s is not None:
        found["latency_us"] = _latency(firmware, session.latency_s, session.samples)
        if session.stack_bytes is None:
            absent["stack_bytes"] = "the firmware does not watch its stack"
        else:
            source = "painted stack, most since the start"
            found["stack_bytes"] = Metric(session.stack_bytes, "bytes", source, session.samples)
        counted = session.cycles
        if counted.most is not None:
            found["cycles"] = Metric(counted.most, "cycles", counted.counter, session.samples)
        elif session.is_real:
            absent["cycles"] = (
                "kernels run one by one" if firmware.executor == HOST_DRIVEN else counted.why
            )
        if session.counts is None:
            absent["instructions"] = _why_uncounted(firmware, session)
        else:
            counter = firmware.counter
            is_exact = isinstance(counter, Counter) and counter.plugin is None
            by = "simavr" if is_exact else "QEMU plugin"
            source = f"{by}, most of all runs"
            total = session.counts.total
            found["instructions"] = Metric(total, "instructions", source, session.samples)
            if session.counts.cycles is not None:
                cycles = session.counts.cycles
                name, source_of_cycles = "cycles", source
                if not is_exact:
                    name, source_of_cycles = "estimated_cycles", _estimate_of(firmware)
                found[name] = Metric(cycles, "cycles", source_of_cycles, session.samples)
            layers = _layers(firmware, session.counts)
            in_float = firmware.library.float_operators
            if in_float is not None:
                names = in_float.functions
                part = sum(layer.instructions for layer in layers if layer.kernel in names)
                found["float_instructions"] = Metric(part, "instructions", source, session.samples)
    return Metrics(**found, layers=layers, absent=absent)


def describe_memory(record: Record, firmware: Firmware) -> None:
    """Record what memory the board has, what takes it, and what lies where in the arena.

    Args:
        record: Is told.
        firmware: The built firmware.

    Raises:
        ModelError: The archive cannot be read any more.
    """
    board = firmware.board
    kinds = {region.kind for region in board.memory}
    record.board_bytes = {kind: board.memory_bytes(kind) for kind in sorted(kinds)}
    record.sizes = sizes_of(firmware)
    arena = arena_of(firmware.library)
    if arena is not None:
        record.arena = arena.to_data()


def sizes_of(firmware: Firmware) -> dict[str, Any]:
    """What a linked program consists of, with the layers that symbols belong to."""
    image, library = firmware.image, firmware.library
    if image is None or not image.sections:
        return {}
    prefix = f"tvmgen_{library.name}_"
    layers = {kernel.name: kernel.name.removeprefix(prefix) for kernel in library.kernels}
    with contextlib.suppress(ModelError):  # a foreign archive may have no graph
        graph = parse_graph(read_graph(library))
        readers = {entry: node.function for node in reversed(graph.nodes) for entry in node.inputs}
        for name, entry in graph.sources.items():
            constant = f"{prefix}data_{name.removeprefix('p')}"
            if entry in readers and constant in image.symbols:
                layers[constant] = readers[entry].removeprefix(prefix)
    symbols = {
        name: {**symbol, "layer": layers.get(name)} for name, symbol in image.symbols.items()
    }
    return {"sections": image.sections, "symbols": symbols}


def _why_uncounted(firmware: Firmware, session: Session) -> str:
    if session.is_real:
        return "instructions are counted in emulators only"
    counter = firmware.counter
    return counter if isinstance(counter, str) else "the emulator counted nothing"


def _image_metrics(firmware: Firmware) -> dict[str, Metric]:
    """Sizes of the linked program, whole and by part."""
    image = firmware.image
    if image is None:
        return {}
    metrics = {
        "flash_bytes": Metric(image.flash_bytes, "bytes", "ELF loaded sections"),
        "ram_bytes": Metric(image.ram_bytes, "bytes", "ELF writable sections"),
    }
    for kind, parts in (("flash", image.flash), ("ram", image.ram)):
        for part, size_bytes in parts.items():
            metrics[f"{kind}_{part}_bytes"] = Metric(size_bytes, "bytes", "ELF symbols")
    return metrics


def _estimate_of(firmware: Firmware) -> str:
    model = core_model(firmware.board.cpu.core)
    return f"estimate for a {model.name}: {model.error}" if model else "estimate"


def _latency(firmware: Firmware, seconds: float, samples: int) -> Metric:
    clock = f"{firmware.board.name} timer"
    if firmware.executor == HOST_DRIVEN:
        clock = "this machine's clock, link included"
    return Metric(round(seconds * 1e6, 3), "us", f"{clock}, fastest run", samples)


def _layers(firmware: Firmware, counts: Counts) -> tuple[Layer, ...]:
    kernels = {kernel.name: kernel for kernel in firmware.library.kernels}
    cycles = counts.kernel_cycles or [None] * len(counts.kernels)
    return tuple(
        Layer(name, instructions, kernels[name].macs, kernels[name].workspace_bytes, cycles_of)
        for (name, instructions), cycles_of in zip(counts.kernels, cycles, strict=True)
    )
