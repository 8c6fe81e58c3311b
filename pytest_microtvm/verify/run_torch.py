"""Runs a program of `torch.export` by PyTorch; in the process of `interpreter_child`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
About = dict[str, Any]

_HALVES = ("torch.float16", "torch.bfloat16")


def run_program(
    model: Path, steps: Sequence[Sequence[Array]], layers: bool
) -> tuple[About, dict[str, Array]]:
    """Run a program by PyTorch, each operator as it is.

    Arguments and results are as of `run_litert.run_litert`. Values of 16-bit floats are told as
    float32, as what is compiled has them.
    """
    import torch

    from pytest_microtvm.compiler.frontends.torch.file import read_program
    from pytest_microtvm.compiler.frontends.torch.program import as_module

    torch.set_num_threads(1)
    program = read_program(model.read_bytes())
    module = as_module(program)
    _round_biases(module)
    seen: dict[Any, Any] = {}

    class Recorder(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, node: Any) -> Any:
            result = super().run_node(node)
            if isinstance(result, torch.Tensor) and node.op == "call_function":
                seen[node] = _array(result.clone())
            return result

    results = []
    with torch.no_grad():
        for step in steps:
            arguments, names = _arguments(program, step)
            given = module(*arguments, **names)
            leaves = torch.utils._pytree.tree_leaves(given)
            results.append([_array(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor)])
        if layers:
            arguments, names = _arguments(program, steps[-1])
            flat = torch.utils._pytree.tree_leaves((arguments, names))
            Recorder(module).run(*flat, enable_io_processing=False)
    arrays = {f"output_{i}": np.stack(given) for i, given in enumerate(zip(*results, strict=True))}
    nodes = {node.name: node for node in program.graph.nodes}
    outputs = [
        nodes.get(spec.arg.name)
        for spec in program.graph_signature.output_specs
        if spec.kind.name == "USER_OUTPUT" and not hasattr(spec.arg, "value")
    ]
    about: About = {
        "title": f"PyTorch {torch.__version__}",
        "is_optimized": any("quantize_per_" in str(node.target) for node in nodes.values()),
        "steps": [_step(node) for node in outputs],
        "hybrid": [],
        "is_half": any(str(getattr(_value(n), "dtype", "")) in _HALVES for n in nodes.values()),
        "layers": [],
    }
    places = {node: position for position, node in enumerate(seen)}
    for node, array in seen.items():
        arrays[f"layer_{places[node]}_0"] = array[None]
        inputs = [places[each] for each in node.all_input_nodes if each in places]
        about["layers"].append({"kind": str(node.target), "name": node.name, "inputs": inputs})
    return about, arrays


def _round_biases(module: Any) -> None:
    """Round biases of quantized layers to steps of their sums, as kernels over integers hold them.

    PT2E leaves biases in float. What the rounding changes in one layer the next ones may enlarge.
    """
    for node in module.graph.nodes:
        is_layer = str(node.target).startswith(("aten.conv", "aten.linear"))
        if not is_layer or len(node.args) < 3 or getattr(node.args[2], "op", "") != "get_attr":
            continue
        bias = node.args[2]
        steps = [_scales(each, module) for each in node.args[:2]]
        if None not in steps and len(bias.users) == 1:
            step = steps[0] * steps[1]
            tensor = _attribute(module, bias.target)
            tensor.data = ((tensor.double() / step).round() * step).to(tensor.dtype)


def _scales(node: Any, module: Any) -> Any:
    """The scale, or scales, of what a node dequantizes; None where it does not."""
    if "dequantize_per" not in str(getattr(node, "target", "")):
        return None
    scale = node.args[1]
    return _attribute(module, scale.target).double() if hasattr(scale, "target") else scale


def _attribute(module: Any, name: str) -> Any:
    found = module
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _arguments(program: Any, arrays: Sequence[Array]) -> tuple[Any, Any]:
    """What the program takes, in its own structure and types: positional ones, and by name."""
    import torch

    nodes = {node.name: node for node in program.graph.nodes}
    remaining: Iterator[Array] = iter(arrays)
    flat = []
    for spec in program.graph_signature.input_specs:
        if spec.kind.name != "USER_INPUT":
            continue
        if hasattr(spec.arg, "value"):  # a number that was exported with the program
            flat.append(spec.arg.value)
            continue
        tensor = torch.from_numpy(np.array(next(remaining)))
        flat.append(tensor.to(_value(nodes[spec.arg.name]).dtype))
    found: tuple[Any, Any] = torch.utils._pytree.tree_unflatten(flat, program.call_spec.in_spec)
    return found


def _array(value: Any) -> Array:
    if str(value.dtype) in _HALVES:
        value = value.float()
    array: Array = value.detach().numpy()
    return array


def _value(node: Any) -> Any:
    """A tensor of the type of what a node gives; None where that is not one."""
    return node.meta.get("val")


def _step(node: Any) -> float:
    """How far apart neighbours of an output are, when it is the float of a quantized tensor."""
    if node is None or "dequantize_per_tensor.default" not in str(node.target):
        return 0.0
    return float(node.args[1])
