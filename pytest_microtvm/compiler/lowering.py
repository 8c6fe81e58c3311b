"""Lowers a Relax module to a `Program`: kernels, constants and a flat list of calls."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.emit.literals import literal
from pytest_microtvm.compiler.index_bounds import bounded_indices
from pytest_microtvm.compiler.kernels import explained, lower_kernels
from pytest_microtvm.compiler.program import (
    C_TYPES,
    CopyCall,
    KernelCall,
    Port,
    Program,
    Storage,
    StorageKind,
    TensorType,
)
from pytest_microtvm.compiler.quantized.rewriting import PREFIX as KERNEL_PREFIX
from pytest_microtvm.compiler.quantized.rewriting import GeneratedKernel
from pytest_microtvm.compiler.rewritten_calls import rewritten_calls
from pytest_microtvm.errors import ModelError

_UNSUPPORTED_CURE = "replace the operator in the model by supported ones"


@dataclass(frozen=True)
class Tensor:
    """A value of the main function: a storage seen as a tensor."""

    storage: Storage
    type: TensorType


Value = Tensor | tuple["Value", ...] | str
"""What a Relax variable stands for: a tensor, a tuple, or a C literal."""


def make_target() -> Any:
    """The TVM target that kernels are lowered for: plain C on a CPU."""
    import tvm

    return tvm.target.Target({"kind": "c", "keys": ["cpu"]})


def _reshape_squeezed() -> Any:
    """A pass that writes `squeeze` as `reshape`: ConvertLayout fails at negative axes."""
    from tvm import relax

    def reshaped(call: Any, builder: Any) -> Any:
        return (
            call if call.ty.shape is None else relax.op.reshape(call.args[0], list(call.ty.shape))
        )

    return rewritten_calls({"relax.squeeze": reshaped})


def lower_relax(module: Any, target: Any) -> Any:
    """Run the Relax passes that leave `main` as calls of TIR functions over allocated tensors."""
    import tvm
    from tvm.relax import backend, transform

    passes = [
        transform.InlinePrivateFunctions(),
        transform.DecomposeOpsForInference(),
        _reshape_squeezed(),
        bounded_indices(),
        backend.DispatchSortScan(),
        # TVM has kernels of this operator for this layout only.
        transform.ConvertLayout({"relax.nn.conv2d_transpose": ["NCHW", "IOHW"]}),
        transform.FoldConstant(),
        transform.LegalizeOps(),
        transform.AnnotateTIROpPattern(),
        transform.FoldConstant(),
        transform.FuseOps(),
        transform.FuseTIR(),
        transform.DeadCodeElimination(),
        transform.RewriteDataflowReshape(),
        transform.ToNonDataflow(),
        transform.RemovePurityChecking(),
        transform.CallTIRRewrite(),
    ]
    with target:
        return tvm.ir.transform.Sequential(passes)(module)


def tensor_type(ty: Any, name: str) -> TensorType:
    """The static type of a Relax tensor.

    Args:
        ty: A Relax `TensorType`.
        name: Names the tensor in messages.

    Raises:
        ModelError: The shape is not static, or C kernels cannot hold the element type.
    """
    if type(ty).__name__ != "TensorType" or type(ty.shape).__name__ != "ShapeExpr":
        raise ModelError(
            f"the tensor {name!r} has no static shape",
            cure="export the model with fixed shapes for all inputs",
        )
    shape = []
    for extent in ty.shape:
        if type(extent).__name__ != "IntImm":
            raise ModelError(
                f"the tensor {name!r} has the dynamic dimension {extent}",
                cure="export the model with fixed shapes for all inputs",
            )
        shape.append(int(extent.value))
    dtype = str(getattr(ty.dtype, "dtype", ty.dtype))
    if dtype not in C_TYPES:
        raise ModelError(
            f"the tensor {name!r} has the element type {dtype}, which is not supported",
            cure=f"use one of {', '.join(C_TYPES)}",
        )
    if math.prod(shape) == 0:
        raise ModelError(
            f"the tensor {name!r} has no elements (shape {tuple(shape)})",
            cure="export the model without empty tensors",
        )
    return TensorType(tuple(shape), dtype)


def lower(
    module: Any,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    prefix: str,
    generated: Sequence[GeneratedKernel] = (),
    initial_states: Sequence[npt.NDArray[np.generic]] = (),
) -> Program:
    """Lower an imported module.

    Args:
        module: The IRModule with a Relax function `main`, as imported.
        inputs: The ports of the parameters of `main`, in their order.
        outputs: The ports of what it returns, in their order.
        prefix: Begins the C name of every kernel.
        generated: What `main` calls in place of operators (see `quantized.groups`).
        initial_states: What the last inputs begin as, which the last outputs are the next values
            of (see `Program`); of their shapes and dtypes.

    Raises:
        ModelError: The model needs what flat calls of plain C kernels cannot do.
    """
    target = make_target()
    lowered = lower_relax(module, target)
    flattener = _Flattener(lowered, generated)
    results = flattener.run()
    program = Program(list(inputs), list(outputs), flattener.constants, flattener.calls)
    program.initial_states = tuple(flattener.initial(array) for array in initial_states)
    names = list(dict.fromkeys(c.kernel for c in program.calls if isinstance(c, KernelCall)))
    program.kernels = lower_kernels(lowered, target, names, prefix, flattener.sources)
    for call in program.calls:
        if isinstance(call, KernelCall) and not program.kernels[call.kernel].comment:
            kernel = program.kernels[call.kernel]
            program.kernels[call.kernel] = explained(kernel, call.arguments)
    _check_writes(program)
    _bind_outputs(program, results)
    return program


def _check_writes(program: Program) -> None:
    """Inputs belong to the caller and constants to flash: no kernel may write into them."""
    for call in program.calls:
        if isinstance(call, CopyCall):
            continue
        kernel = program.kernels[call.kernel]
        for parameter, argument in zip(kernel.parameters, call.arguments, strict=True):
            if parameter.is_written and (
                not isinstance(argument, Storage)
                or argument.kind in (StorageKind.INPUT, StorageKind.CONSTANT)
            ):
                raise ModelError(
                    f"the operator(s) {kernel.name!r} would write into an input or a constant",
                    cure="export the model without operators that work in place",
                )


def _bind_outputs(program: Program, results: Sequence[Tensor]) -> None:
    """Let each result be made in the caller's buffer, or be copied there in the end.

    What several kernels write, one after the other, is no output before the last one.
    """
    writes = Counter(
        argument.index
        for call in program.calls
        if isinstance(call, KernelCall)
        for parameter, argument in zip(
            program.kernels[call.kernel].parameters, call.arguments, strict=True
        )
        if parameter.is_written and isinstance(argument, Storage)
    )
    made_once = {index for index, count in writes.items() if count == 1}
    num_outputs = len(program.model_outputs)
    for index, (port, tensor) in enumerate(zip(program.outputs, results, strict=True)):
        if tensor.type.size_bytes != port.type.size_bytes:
            raise AssertionError(f"output {port.name!r} is {tensor.type}, not {port.type}")
        if index < num_outputs:
            _bind_output(program, index, tensor.storage, made_once)
    _bind_states(program, [tensor.storage for tensor in results[num_outputs:]], made_once)


def _bind_output(
    program: Program, index: int, storage: Storage, made_once: Collection[int]
) -> None:
    target = Storage(StorageKind.OUTPUT, index, program.outputs[index].type)
    if storage.kind is StorageKind.ARENA and storage.index in made_once:
        storage.kind, storage.index, storage.type = target.kind, target.index, target.type
    else:
        program.calls.append(CopyCall(storage, target))


def _bind_states(program: Program, results: Sequence[Storage], made_once: Collection[int]) -> None:
    """Let the next value of a state be made in its memory, once nothing reads the last value."""
    num_inputs, num_outputs = len(program.model_inputs), len(program.model_outputs)
    values = list(results)
    for number, storage in enumerate(values):
        if storage.kind is StorageKind.INPUT and storage.index >= num_inputs:
            # The last value of a state: it may be overwritten before it is copied.
            values[number] = Storage(StorageKind.ARENA, _free_index(program), storage.type)
            program.calls.append(CopyCall(storage, values[number]))
    for number, storage in enumerate(values):
        state = (StorageKind.INPUT, num_inputs + number)
        read = [
            position
            for position, call in enumerate(program.calls)
            if any((each.kind, each.index) == state for each in program.storages(call))
        ]
        written = [
            position
            for position, call in enumerate(program.calls)
            if any(each is storage for each in program.storages(call))
        ]
        is_late = bool(written) and min(written) > max(read, default=-1)
        _bind_output(program, num_outputs + number, storage, made_once if is_late else ())


def _free_index(program: Program) -> int:
    """The number of an arena storage that there is not yet."""
    storages = [storage for call in program.calls for storage in program.storages(call)]
    return max((s.index for s in storages if s.kind is StorageKind.ARENA), default=-1) + 1


class _Flattener:
    """Walks the body of a lowered `main` and collects storages, constants and calls."""

    def __init__(self, module: Any, generated: Sequence[GeneratedKernel]) -> None:
        self._main = module["main"]
        self._generated = generated
        self._kernels = {
            variable.name_hint
            for variable, function in module.functions.items()
            if type(function).__name__ == "PrimFunc"
        }
        self._values: dict[Any, Value] = {}
        self._constant_storages: dict[tuple[str, bytes], Storage] = {}
        self._storage_count = 0
        self.constants: list[npt.NDArray[np.generic]] = []
        self.calls: list[KernelCall | CopyCall] = []
        self.sources: dict[str, list[GeneratedKernel]] = {}
        """The integer kernels that are called, by the names of the calls; those that are one."""

    def run(self) -> list[Tensor]:
        """The tensors that `main` returns, tuples laid flat."""
        for index, parameter in enumerate(self._main.params):
            tensor = tensor_type(parameter.ty, parameter.name)
            storage = Storage(StorageKind.INPUT, index, tensor)
            self._values[parameter] = Tensor(storage, tensor)
        for block in self._main.body.blocks:
            for binding in block.bindings:
                if type(binding).__name__ != "VarBinding":
                    raise ModelError(
                        f"the model binds {binding.var.name!r} by a {type(binding).__name__}",
                        cure="export the model with static shapes and without casts of structure",
                    )
                self._values[binding.var] = self._bound(binding)
        return list(_tensors(self._evaluate(self._main.body.body)))

    def _bound(self, binding: Any) -> Value:
        value = binding.value
        if type(value).__name__ == "Call":
            return self._call(value, binding.var)
        return self._evaluate(value)

    def _evaluate(self, expression: Any) -> Value:
        kind = type(expression).__name__
        if kind == "Var":
            return self._values[expression]
        if kind == "Tuple":
            return tuple(self._evaluate(field) for field in expression.fields)
        if kind == "TupleGetItem":
            fields = self._evaluate(expression.tuple_value)
            if isinstance(fields, tuple):
                return fields[int(expression.index)]
        if kind == "GenericConst" and hasattr(expression.value, "numpy"):
            return self._constant(expression)
        if kind in ("IntImm", "FloatImm"):
            return literal(expression.value, str(expression.ty.dtype))
        if kind == "PrimValue":
            return self._evaluate(expression.value)
        if kind == "If":
            raise ModelError("the model branches at run time (IF)", cure=_UNSUPPORTED_CURE)
        raise ModelError(f"the model holds a {kind} expression", cure=_UNSUPPORTED_CURE)

    def initial(self, array: npt.NDArray[np.generic]) -> int | None:
        """The constant that a state begins as; None where that is zeros."""
        if not any(array.tobytes()):
            return None
        return self._stored(array, TensorType(array.shape, str(array.dtype))).storage.index

    def _constant(self, expression: Any) -> Tensor:
        return self._stored(expression.value.numpy(), tensor_type(expression.ty, "a constant"))

    def _stored(self, array: npt.NDArray[np.generic], ty: TensorType) -> Tensor:
        """A constant; those of equal bytes are one."""
        key = (str(array.dtype), array.tobytes())
        storage = self._constant_storages.get(key)
        if storage is None:
            storage = Storage(StorageKind.CONSTANT, len(self.constants), ty)
            self._constant_storages[key] = storage
            self.constants.append(array)
        return Tensor(storage, ty)

    def _call(self, call: Any, variable: Any) -> Value:
        kind = type(call.op).__name__
        if kind == "GlobalVar":
            if call.op.name_hint not in self._kernels:
                raise ModelError(
                    f"the model loops or calls the function {call.op.name_hint!r} at run time",
                    cure="export the model with loops unrolled and functions inlined",
                )
            arguments: list[Storage | str] = []
            for argument in call.args:
                for leaf in _leaves(self._evaluate(argument)):
                    arguments.append(leaf.storage if isinstance(leaf, Tensor) else leaf)
            self.calls.append(KernelCall(str(call.op.name_hint), tuple(arguments)))
            return ()
        name = str(call.op.name) if kind == "Op" else str(getattr(call.op, "global_symbol", kind))
        if name.startswith(KERNEL_PREFIX):
            return self._generated_call(int(name.removeprefix(KERNEL_PREFIX)), call.args)
        if name == "relax.builtin.alloc_tensor":
            return self._allocate(tensor_type(variable.ty, variable.name))
        if name == "relax.reshape" or name == "vm.builtin.reshape":
            source = self._evaluate(call.args[0])
            target = tensor_type(variable.ty, variable.name)
            if isinstance(source, Tensor) and source.type.size_bytes == target.size_bytes:
                return Tensor(source.storage, target)
        raise ModelError(
            f"the operator {name!r} cannot be compiled for a microcontroller",
            cure=_UNSUPPORTED_CURE,
        )

    def _generated_call(self, number: int, arguments: Any) -> Value:
        kernel = self._generated[number]
        leaves = [leaf for a in arguments for leaf in _leaves(self._evaluate(a))]
        tensors = _tensors(tuple(leaves))
        num_inputs = len(kernel.source.input_dtypes)
        inputs, outputs = tensors[:num_inputs], tensors[num_inputs:]
        constants = [
            self._stored(array, TensorType(array.shape, str(array.dtype)))
            for array in kernel.source.constants
        ]
        name = self._source_name(kernel)
        storages = [tensor.storage for tensor in (*inputs, *constants, *outputs)]
        self.calls.append(KernelCall(name, tuple(storages)))
        return ()

    def _source_name(self, kernel: GeneratedKernel) -> str:
        """The name of a kernel; those that do the same are one."""
        source = kernel.source
        for name, known in self.sources.items():
            if known[0].source.has_code_of(source):
                known.append(kernel)
                return name
        name = f"{kernel.name}_{len(self.sources)}"
        self.sources[name] = [kernel]
        return name

    def _allocate(self, ty: TensorType) -> Tensor:
        storage = Storage(StorageKind.ARENA, self._storage_count, ty)
        self._storage_count += 1
        return Tensor(storage, ty)


def _leaves(value: Value) -> list[Tensor | str]:
    """The tensors and literals in a value, tuples laid flat."""
    if isinstance(value, tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _tensors(value: Value) -> list[Tensor]:
    """The tensors in a value, tuples laid flat."""
    tensors = []
    for leaf in _leaves(value):
        if not isinstance(leaf, Tensor):
            raise ModelError("the model returns a number", cure="return tensors only")
        tensors.append(leaf)
    return tensors
