"""Loops and branches: a kernel that calls the kernels of the subgraphs it runs.

An executor sees one call. The subgraphs are lowered as models are; their tensors share the
workspace of the kernel, and their constants are constants of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from pytest_microtvm.compiler.custom_check import check_custom
from pytest_microtvm.compiler.emit.calls import call_statements
from pytest_microtvm.compiler.frontends import imported
from pytest_microtvm.compiler.limits import check_module
from pytest_microtvm.compiler.lowering import lower
from pytest_microtvm.compiler.planning import MemoryPlan, plan_memory
from pytest_microtvm.compiler.program import (
    Kernel,
    Port,
    Program,
    Storage,
    StorageKind,
    align_up,
)
from pytest_microtvm.compiler.quantized.choices import Choose, first
from pytest_microtvm.compiler.quantized.float_groups import group_floats
from pytest_microtvm.compiler.quantized.given import Branch, Custom, GivenSpec, Loop, Subgraph
from pytest_microtvm.compiler.quantized.groups import group_integers
from pytest_microtvm.compiler.quantized.kernels.text import body
from pytest_microtvm.compiler.quantized.specs import KernelSource, Written

_LOOP_FACTS = ("  a loop: each step makes the values of the next, as long as a condition holds",)
_BRANCH_FACTS = ("  one of two branches: the first where input0 holds",)


@dataclass(frozen=True)
class Nested:
    """Specs without subgraphs.

    Args:
        specs: Those that were given, with `Written` in place of loops and branches.
        float_operators: As `Grouped` has them, of all subgraphs.
    """

    specs: tuple[GivenSpec, ...]
    float_operators: tuple[str, ...]


def lower_nested(
    specs: Sequence[GivenSpec], simd: str, prefix: str, choose: Choose = first
) -> Nested:
    """Lower what specs have for subgraphs.

    Args:
        specs: Kernels that a module calls.
        simd: The CPU's extension.
        prefix: Begins the C name of every kernel.
        choose: Takes one of several ways to write a kernel.

    Raises:
        ModelError: A subgraph needs what kernels cannot do.
    """
    found: list[GivenSpec] = []
    operators: list[str] = []
    for number, given in enumerate(specs):
        spec: Any = given.spec
        if isinstance(spec, Loop):
            condition = _Part(spec.condition, simd, f"{prefix}loop{number}_condition_", choose)
            step = _Part(spec.body, simd, f"{prefix}loop{number}_", choose)
            parts, spec = [condition, step], Written(_loop(spec, condition, step), _LOOP_FACTS)
        elif isinstance(spec, Branch):
            parts = [
                _Part(graph, simd, f"{prefix}branch{number}_{name}_", choose)
                for graph, name in ((spec.then, "then"), (spec.otherwise, "otherwise"))
            ]
            spec = Written(_branch(spec, *parts), _BRANCH_FACTS)
        else:
            parts = []
            if isinstance(spec, Custom):
                check_custom(spec, f"{prefix}custom{number}")
                facts = (f"  the custom operator {spec.operator.name}",)
                spec = Written(spec.source, facts)
        operators += [each for part in parts for each in part.float_operators]
        found.append(GivenSpec(given.name, spec))
    return Nested(tuple(found), tuple(dict.fromkeys(operators)))


class _Part:
    """A subgraph, lowered.

    Args:
        graph: The subgraph.
        simd: The CPU's extension.
        prefix: Begins the C name of each of its kernels.
        choose: Takes one of several ways to write a kernel.
    """

    def __init__(self, graph: Subgraph, simd: str, prefix: str, choose: Choose) -> None:
        nested = lower_nested(graph.specs, simd, prefix, choose)
        model = imported(graph.module, None, None, nested.specs)
        check_module(model.module, model.inputs, model.outputs)
        grouped = group_integers(model.module, simd, model.specs, choose=choose)
        grouped = group_floats(grouped, simd)
        self.program: Program = lower(
            grouped.module, model.inputs, model.outputs, prefix, grouped.kernels
        )
        self.plan: MemoryPlan = plan_memory(self.program)
        self.float_operators = (*nested.float_operators, *grouped.float_operators)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """What it calls."""
        return tuple(self.program.kernels.values())

    def statements(
        self,
        inputs: Sequence[str],
        outputs: Sequence[str],
        first_constant: int,
        arena_offset: int,
    ) -> Iterator[str]:
        """The C that runs it.

        Args:
            inputs: Expressions for the addresses of its inputs.
            outputs: Of its outputs; what stays where it is is not copied.
            first_constant: Number of the kernel's constant that is its first one.
            arena_offset: Where its tensors are in the workspace.
        """
        places = _Places(self.plan, inputs, outputs, first_constant, arena_offset)
        return call_statements(self.program, self.plan, places)


@dataclass(frozen=True)
class _Places:
    """Where the tensors of a subgraph are in a kernel; the arguments of `_Part.statements`."""

    plan: MemoryPlan
    inputs: Sequence[str]
    outputs: Sequence[str]
    first_constant: int
    arena_offset: int

    def address(self, storage: Storage) -> str:
        if storage.kind is StorageKind.INPUT:
            return self.inputs[storage.index]
        if storage.kind is StorageKind.OUTPUT:
            return self.outputs[storage.index]
        if storage.kind is StorageKind.CONSTANT:
            return f"constant{self.first_constant + storage.index}"
        return f"({self.at(self.plan.storage_offsets[storage.index])})"

    def via(self, storage: Storage) -> str:
        return "(void *)" if storage.kind is StorageKind.ARENA else ""

    def space(self, kernel: Kernel, position: int) -> str:
        return ""  # what the kernels of subgraphs are given is found in the text of this one

    def at(self, offset: int) -> str:
        total = self.arena_offset + offset
        return f"workspace + {total}" if total else "workspace"


def _loop(spec: Loop, condition: _Part, step: _Part) -> KernelSource:
    """A kernel that takes steps as long as the condition holds.

    Each value that changes is in one of two places by turns, of which the output is the first.
    """
    ports = step.program.inputs
    changed = spec.changed
    now: dict[int, str] = {}
    before: list[str] = []
    after: list[str] = []
    turns: list[str] = []
    last: list[str] = []
    offset = 0
    for number, position in enumerate(changed):
        size_bytes = ports[position].type.size_bytes
        output = f"output{number or ''}"
        now[position] = f"now{number}"
        after.append(f"next{number}")
        before += [
            f"memcpy({output}, input{position}, {size_bytes});",
            f"void *now{number} = {output};",
            f"void *next{number} = workspace + {offset};",
        ]
        turns += [f"turned = next{number};", f"next{number} = now{number};"]
        turns += [f"now{number} = turned;"]
        last += [f"if (now{number} != {output}) {{"]
        last += [f"memcpy({output}, now{number}, {size_bytes});", "}"]
        offset += align_up(size_bytes)
    go_on, arena_offset = offset, offset + align_up(1)
    inputs = [now.get(position, f"input{position}") for position in range(len(ports))]
    holds = f"(workspace + {go_on})"
    num_constants = len(condition.program.constants)
    lines = [
        *before,
        "for (;;) {",
        *condition.statements(inputs, [holds], 0, arena_offset),
        f"if (*{holds} == 0) {{",
        "break;",
        "}",
        *step.statements(inputs, after, num_constants, arena_offset),
        "void *turned;",
        *turns,
        "}",
        *last,
    ]
    arena_bytes = max(condition.plan.arena_bytes, step.plan.arena_bytes)
    return _source(
        lines,
        _dtypes(ports),
        (condition, step),
        _dtypes(ports[position] for position in changed),
        arena_offset + arena_bytes,
    )


def _branch(spec: Branch, then: _Part, otherwise: _Part) -> KernelSource:
    """A kernel that runs one of two subgraphs; its first input says which."""
    ports = then.program.inputs
    inputs = [f"input{1 + position}" for position in range(len(ports))]
    outputs = [f"output{number or ''}" for number in range(len(then.program.outputs))]
    lines = [
        "if (*input0 != 0) {",
        *then.statements(inputs, outputs, 0, 0),
        "}",
        "else {",
        *otherwise.statements(inputs, outputs, len(then.program.constants), 0),
        "}",
    ]
    arena_bytes = max(then.plan.arena_bytes, otherwise.plan.arena_bytes)
    dtypes = (spec.chosen_by, *_dtypes(ports))
    return _source(lines, dtypes, (then, otherwise), _dtypes(then.program.outputs), arena_bytes)


def _dtypes(ports: Iterable[Port]) -> tuple[str, ...]:
    return tuple(port.type.dtype for port in ports)


def _source(
    lines: Sequence[str],
    input_dtypes: tuple[str, ...],
    parts: Sequence[_Part],
    output_dtypes: tuple[str, ...],
    workspace_bytes: int,
) -> KernelSource:
    constants: list[npt.NDArray[Any]] = [c for part in parts for c in part.program.constants]
    text = "\n".join(lines)
    names = [f"input{number}" for number in range(len(input_dtypes))]
    unread = [f"(void){name};" for name in names if re.search(rf"\b{name}\b", text) is None]
    return KernelSource(
        input_dtypes,
        tuple(constants),
        output_dtypes[0],
        body("\n".join([*unread, *lines])),
        workspace_bytes=workspace_bytes,
        macs=None,
        more_outputs=output_dtypes[1:],
        callees=tuple(kernel for part in parts for kernel in part.kernels),
    )
