"""A program brought to static shapes and plain operators, and what it keeps from run to run."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch._decomp import get_decompositions
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.utils import _pytree as pytree

from pytest_microtvm.compiler.failures import summary
from pytest_microtvm.errors import ModelError

_KEPT = ("gru", "linear", "lstm", "matmul", "rnn_relu", "rnn_tanh")
"""Operators that stay as they are, where PyTorch would take them apart."""

_TAKEN_APART = (
    *("_native_batch_norm_legit", "_native_batch_norm_legit_functional", "native_batch_norm"),
    *("grid_sampler_2d", "upsample_bicubic2d", "pixel_shuffle", "pixel_unshuffle"),
    *("upsample_linear1d", "upsample_trilinear3d", "upsample_nearest1d", "upsample_nearest3d"),
    *("_fused_rms_norm", "im2col", "col2im", "max_unpool2d", "max_unpool3d", "channel_shuffle"),
    *("linalg_vector_norm", "isin", "triu", "tril"),
)
"""Operators that are taken apart, where PyTorch would leave them."""


@dataclass(frozen=True)
class State:
    """What a program keeps from run to run.

    Args:
        name: Of the buffer.
        placeholder: The node that reads it.
        result: The node of its next value.
        initial: What it begins as.
    """

    name: str
    placeholder: str
    result: str
    initial: torch.Tensor


@dataclass(frozen=True)
class Prepared:
    """A program with static shapes.

    Args:
        graph: The module of nodes.
        inputs: Nodes of the inputs that are tensors.
        outputs: Nodes of the outputs that are tensors.
        states: What it keeps.
        known: Weights and other values that do not change, by node.
    """

    graph: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    states: tuple[State, ...]
    known: Mapping[str, Any]


def prepare(program: Any, shapes: Mapping[str, tuple[int, ...]]) -> Prepared:
    """Bring a program to static shapes and plain operators.

    Args:
        program: An `ExportedProgram`.
        shapes: Of inputs, by name; open dimensions that nothing says are 1.

    Raises:
        ModelError: The shapes do not fit the program, or it cannot be taken apart.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fixed = _fixed(program, shapes)
        try:
            plain = fixed.run_decompositions(_decompositions())
        except Exception as error:
            raise ModelError(
                f"PyTorch cannot take the program apart: {type(error).__name__}: {summary(error)}",
                cure="export the model again, or to ONNX",
            ) from error
    return _prepared(plain)


def _decompositions() -> Any:
    table = torch.export.default_decompositions()
    aten = torch.ops.aten
    more = [getattr(aten, name) for name in _TAKEN_APART if hasattr(aten, name)]
    for overload, function in get_decompositions(more).items():
        table[overload] = function
    projected = table[aten.lstm.input]
    for name in _KEPT:
        for overload in getattr(aten, name).overloads():
            table.pop(getattr(getattr(aten, name), overload), None)
    table[aten.lstm.input] = _if_projected(projected)
    for name in ("upsample_bilinear2d", "upsample_nearest2d"):
        for overload in ("vec", "default"):
            key = getattr(getattr(aten, name), overload)
            table[key] = _unless_plain(key)
    return table


def _if_projected(apart: Callable[..., Any]) -> Callable[..., Any]:
    """Takes an LSTM apart that projects its hidden states: it has more weights than others."""

    def convert(
        source: Any, states: Any, weights: Any, has_biases: bool, layers: int, *rest: Any
    ) -> Any:
        is_bidirectional = rest[2]
        count = layers * (4 if has_biases else 2) * (2 if is_bidirectional else 1)
        if len(weights) == count:
            return NotImplemented
        return apart(source, states, weights, has_biases, layers, *rest)

    return convert


def _unless_plain(overload: Any) -> Callable[..., Any]:
    """Takes a resize apart whose scales are not as the sizes say."""
    apart = get_decompositions([overload])[overload]

    def convert(source: Any, *arguments: Any, **named: Any) -> Any:
        values = [value for value in (*arguments, *named.values()) if value is not None]
        numbers = [n for value in values for n in (value if isinstance(value, list) else [value])]
        scales = [number for number in numbers if isinstance(number, float)]
        extents = source.shape[2:]
        is_plain = "nearest" in str(overload) or all(
            int(extent * scale) == extent * scale
            for extent, scale in zip(extents, scales, strict=False)
        )
        return NotImplemented if is_plain else apart(source, *arguments, **named)

    return convert


def _fixed(program: Any, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """The program with every open dimension bound to a number."""
    nodes = {node.name: node for node in program.graph.nodes}
    names = [spec.arg.name for spec in _user_inputs(program)]
    for name in shapes:
        if name not in names:
            raise ModelError(
                f"the model has no input {name!r} to give a shape to",
                cure=f"name one of {', '.join(map(str, names))}",
            )
    symbols: dict[Any, int] = {}
    for name in names:
        value = nodes[name].meta.get("val") if name in nodes else None
        if isinstance(value, torch.Tensor):
            _bind(name, value, shapes.get(name), symbols)
        elif isinstance(value, torch.SymInt):
            raise ModelError(
                f"the input {name!r} is a number, not a tensor",
                cure="export the model with that number fixed",
            )
    open_extents = [each for each in _extents(program) if isinstance(each, torch.SymInt)]
    if not open_extents:
        return program
    for symbol in {s for extent in open_extents for s in extent.node.expr.free_symbols}:
        lower = getattr(program.range_constraints.get(symbol), "lower", 0)
        # PyTorch supposes that what is open is not 1; most programs are as right with it.
        symbols.setdefault(symbol, 1 if lower <= 2 else int(lower))
    leaves = []
    for spec in _user_inputs(program):
        if isinstance(spec.arg, ConstantArgument):
            leaves.append(spec.arg.value)
            continue
        value = nodes[spec.arg.name].meta["val"]
        leaves.append(torch.zeros([_number(e, symbols) for e in value.shape], dtype=value.dtype))
    for name, leaf in zip(names, leaves, strict=True):
        wanted = shapes.get(name)
        if wanted is not None and tuple(leaf.shape) != tuple(wanted):
            raise ModelError(
                f"the input {name!r} would be {list(leaf.shape)}, not {list(wanted)}",
                cure="give shapes that fit each other and the program",
            )
    arguments, named = pytree.tree_unflatten(leaves, program.call_spec.in_spec)
    try:
        return torch.export.export(as_module(program), arguments, named, strict=False)
    except Exception as error:
        raise ModelError(
            "the open dimensions cannot be fixed: " + summary(error),
            cure="give the shapes of the inputs that the program is meant for (input_shapes), or "
            "export it with fixed shapes",
        ) from error


def _user_inputs(program: Any) -> list[Any]:
    specs = program.graph_signature.input_specs
    return [spec for spec in specs if spec.kind is InputKind.USER_INPUT]


def _extents(program: Any) -> list[Any]:
    found = []
    for node in program.graph.nodes:
        values = node.meta.get("val")
        for value in values if isinstance(values, (list, tuple)) else [values]:
            found += list(value.shape) if isinstance(value, torch.Tensor) else [value]
    return found


def _bind(
    name: str, value: torch.Tensor, wanted: tuple[int, ...] | None, symbols: dict[Any, int]
) -> None:
    """Take the extents of an input that are wanted."""
    if wanted is None:
        return
    if len(wanted) != value.dim():
        raise ModelError(
            f"the input {name!r} has {value.dim()} dimensions, not {len(wanted)}",
            cure="give an extent for each dimension",
        )
    for position, (extent, number) in enumerate(zip(value.shape, wanted, strict=True)):
        if isinstance(extent, torch.SymInt):
            symbols.update(_solution(extent.node.expr, number, symbols))
        elif extent != number:
            raise ModelError(
                f"the input {name!r} has {extent} in dimension {position}, not {number}",
                cure="keep the dimensions that are fixed, or export the model again",
            )


def _solution(expression: Any, number: int, known: Mapping[Any, int]) -> dict[Any, int]:
    """The symbol of a size that is not known yet, so that the size is a number."""
    left = expression.subs(known)
    if len(left.free_symbols) != 1:
        return {}
    [symbol] = left.free_symbols
    found = [value for value in sympy.solve(left - number, symbol) if value.is_integer]
    return {symbol: int(found[0])} if found else {}


def _number(extent: Any, symbols: Mapping[Any, int]) -> int:
    if not isinstance(extent, torch.SymInt):
        return int(extent)
    return int(extent.node.expr.subs(symbols))


def as_module(program: Any) -> Any:
    """A program as a module that takes whatever shapes it can be run with."""
    if "check_guards" in inspect.signature(program.module).parameters:
        module = program.module(check_guards=False)
    else:
        module = program.module()
    module._forward_pre_hooks.clear()
    return module


def _prepared(program: Any) -> Prepared:
    signature = program.graph_signature
    inputs: list[str] = []
    buffers: dict[str, str] = {}
    known: dict[str, Any] = {}
    tensors = {**program.constants, **program.state_dict}
    for spec in signature.input_specs:
        name = spec.arg.name
        if isinstance(spec.arg, ConstantArgument):
            known[name] = spec.arg.value
        elif spec.kind is InputKind.USER_INPUT:
            inputs.append(name)
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            known[name] = tensors[spec.target]
            buffers[spec.target] = name
        else:
            raise ModelError(
                f"the program has {spec.target or name!r}, which is no tensor",
                cure="export the model without custom objects and effects",
            )
    changed = {}
    outputs = []
    for spec in signature.output_specs:
        if not isinstance(spec.arg, TensorArgument):
            continue
        if spec.kind is OutputKind.USER_OUTPUT:
            outputs.append(spec.arg.name)
        elif spec.target in buffers:
            changed[buffers[spec.target]] = (spec.target, spec.arg.name)
    states = tuple(
        State(buffer, name, result, known.pop(name))
        for name, (buffer, result) in _used(program.graph, outputs, changed).items()
    )
    return Prepared(program.graph_module, tuple(inputs), tuple(outputs), states, known)


def _used(
    graph: Any, outputs: list[str], changed: Mapping[str, tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    """Those of the buffers that change on which an output depends, in whatever later run."""
    nodes = {node.name: node for node in graph.nodes}
    pending, seen = [nodes[name] for name in outputs], set()
    while pending:
        node = pending.pop()
        if node.name in seen:
            continue
        seen.add(node.name)
        pending += node.all_input_nodes
        if node.name in changed:
            pending.append(nodes[changed[node.name][1]])
    return {name: entry for name, entry in changed.items() if name in seen}
