"""Builds small TFLite files out of tensors and operators, with the `tflite` package's builders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite


@dataclass(frozen=True)
class Quantization:
    """Scales and zero points, one each for all or for each index of `axis`."""

    scales: Sequence[float]
    zero_points: Sequence[int]
    axis: int = 0


@dataclass(frozen=True)
class Tensor:
    """A tensor of the model; `data` makes it a constant, of two axes one that `is_sparse`."""

    name: str
    shape: Sequence[int]
    dtype: str = "FLOAT32"
    data: npt.NDArray[Any] | None = None
    quantization: Quantization | None = None
    shape_signature: Sequence[int] = ()
    is_variable: bool = False
    is_sparse: bool = False


@dataclass(frozen=True)
class Operator:
    """An operator by its builtin name, or "CUSTOM" and its own; indices are positions in the
    model's tensors."""

    name: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: tuple[str, Callable[[flatbuffers.Builder], int]] | None = None
    version: int = 1
    intermediates: Sequence[int] = ()
    custom_options: bytes = b""


@dataclass
class Model:
    """A model of one subgraph; `signature` gives names to tensors by index.

    `subgraphs` are further ones, which the operators of the first refer to by 1, 2 and so on. They
    may have signatures of their own, with other names.
    """

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: Sequence[int]
    outputs: Sequence[int]
    signature: dict[int, str] = field(default_factory=dict)
    subgraphs: list[Model] = field(default_factory=list)
    signature_name: str = "serving_default"

    def to_bytes(self) -> bytes:
        """The file's content."""
        return _Writer(self).write()


def options(table: str, **values: Any) -> tuple[str, Callable[[flatbuffers.Builder], int]]:
    """A table of options."""

    def write(builder: flatbuffers.Builder) -> int:
        getattr(tflite, f"{table}Start")(builder)
        for name, value in values.items():
            getattr(tflite, f"{table}Add{name}")(builder, value)
        return int(getattr(tflite, f"{table}End")(builder))

    return table, write


def add_options(builder: flatbuffers.Builder) -> int:
    """Options of ADD without an activation."""
    tflite.AddOptionsStart(builder)
    return int(tflite.AddOptionsEnd(builder))


def mul_options(builder: flatbuffers.Builder) -> int:
    """Options of MUL without an activation."""
    tflite.MulOptionsStart(builder)
    return int(tflite.MulOptionsEnd(builder))


def fully_connected_options(builder: flatbuffers.Builder) -> int:
    """Options of FULLY_CONNECTED without an activation."""
    tflite.FullyConnectedOptionsStart(builder)
    return int(tflite.FullyConnectedOptionsEnd(builder))


def add(inputs: Sequence[int], output: int) -> Operator:
    """An ADD operator."""
    return Operator("ADD", inputs, [output], ("AddOptions", add_options))


def mul(inputs: Sequence[int], output: int) -> Operator:
    """A MUL operator."""
    return Operator("MUL", inputs, [output], ("MulOptions", mul_options))


def fully_connected(inputs: Sequence[int], output: int) -> Operator:
    """A FULLY_CONNECTED operator: data, weights [units, inputs], bias [units]."""
    table = ("FullyConnectedOptions", fully_connected_options)
    return Operator("FULLY_CONNECTED", inputs, [output], table)


def var_handle(name: str, output: int) -> Operator:
    """A VAR_HANDLE operator: the variable of that name."""

    def named(builder: flatbuffers.Builder) -> int:
        text = builder.CreateString(name)
        tflite.VarHandleOptionsStart(builder)
        tflite.VarHandleOptionsAddSharedName(builder, text)
        return int(tflite.VarHandleOptionsEnd(builder))

    return Operator("VAR_HANDLE", [], [output], ("VarHandleOptions", named))


def call_once(subgraph: int) -> Operator:
    """A CALL_ONCE operator."""
    return Operator("CALL_ONCE", [], [], options("CallOnceOptions", InitSubgraphIndex=subgraph))


def read_variable(handle: int, output: int) -> Operator:
    """A READ_VARIABLE operator."""
    return Operator("READ_VARIABLE", [handle], [output])


def assign_variable(handle: int, value: int) -> Operator:
    """An ASSIGN_VARIABLE operator."""
    return Operator("ASSIGN_VARIABLE", [handle, value], [])


def running_sum(initial: Sequence[float] = (1.0, 2.0, 3.0)) -> Model:
    """x -> x + the sum of all that came before, which begins with `initial`; float32 [3]."""
    begin = Model(
        [Tensor("s", [], "RESOURCE"), Tensor("first", [3], data=np.array(initial, np.float32))],
        [var_handle("sum", 0), assign_variable(0, 1)],
        [],
        [],
    )
    tensors = [
        *(Tensor("x", [3]), Tensor("handle", [], "RESOURCE")),
        *(Tensor("before", [3]), Tensor("after", [3])),
    ]
    operators = [
        *(call_once(1), var_handle("sum", 1), read_variable(1, 2)),
        *(add([0, 2], 3), assign_variable(1, 3)),
    ]
    return Model(tensors, operators, [0], [3], subgraphs=[begin])


def exchanged() -> Model:
    """x -> (a, b) before the run; then a is what b was, and b is x + a. float32 [3]."""
    begin = Model(
        [
            *(Tensor("a", [], "RESOURCE"), Tensor("b", [], "RESOURCE")),
            Tensor("zeros", [3], data=np.zeros(3, np.float32)),
        ],
        [var_handle("a", 0), var_handle("b", 1), assign_variable(0, 2), assign_variable(1, 2)],
        [],
        [],
    )
    names = ("x", "a_before", "b_before", "a_output", "b_output", "b_after")
    tensors = [Tensor(name, [3]) for name in names]
    tensors += [Tensor("a", [], "RESOURCE"), Tensor("b", [], "RESOURCE")]
    zero = len(tensors)
    tensors.append(Tensor("zero", [3], data=np.zeros(3, np.float32)))
    operators = [
        call_once(1),
        *(var_handle("a", 6), var_handle("b", 7), read_variable(6, 1), read_variable(7, 2)),
        *(assign_variable(6, 2), add([0, 1], 5), assign_variable(7, 5)),
        *(add([1, zero], 3), add([2, zero], 4)),
    ]
    return Model(tensors, operators, [0], [3, 4], subgraphs=[begin])


def two_by_two() -> Model:
    """(a, b) -> (a + b, a * b), all float32 [2, 3]."""
    tensors = [Tensor(name, [2, 3]) for name in ("a:0", "b:0", "sum", "product")]
    return Model(tensors, [add([0, 1], 2), mul([0, 1], 3)], [0, 1], [2, 3])


def two_signatures() -> Model:
    """ "sum": a, b -> a + b; "product": first, second of any length -> their product."""
    names = dict(enumerate(("a", "b", "sum")))
    others = dict(enumerate(("first", "second", "product")))
    product = Model(
        [Tensor(name, [1], shape_signature=[-1]) for name in others.values()],
        *([mul([0, 1], 2)], [0, 1], [2]),
        signature=others,
        signature_name="product",
    )
    model = Model([Tensor(name, [2, 3]) for name in names.values()], [add([0, 1], 2)], [0, 1], [2])
    model.signature, model.signature_name, model.subgraphs = names, "sum", [product]
    return model


class _Writer:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._builder = flatbuffers.Builder(1024)
        self._buffers = [b""]

    def write(self) -> bytes:
        builder = self._builder
        models = [self._model, *self._model.subgraphs]
        names = list(dict.fromkeys((o.name, o.version) for m in models for o in m.operators))
        codes = [self._operator_code(*name) for name in names]
        graphs = []
        for model in models:
            tensors = [self._tensor(tensor) for tensor in model.tensors]
            operators = [
                self._operator(o, names.index((o.name, o.version))) for o in model.operators
            ]
            graphs.append(self._subgraph(model, tensors, operators))
        buffers = [self._buffer(content) for content in self._buffers]
        signatures = [self._signature(n, m) for n, m in enumerate(models) if m.signature]
        signature = self._offsets(signatures)
        code_vector, graph_vector = self._offsets(codes), self._offsets(graphs)
        buffer_vector = self._offsets(buffers)
        tflite.ModelStart(builder)
        tflite.ModelAddVersion(builder, 3)
        tflite.ModelAddOperatorCodes(builder, code_vector)
        tflite.ModelAddSubgraphs(builder, graph_vector)
        tflite.ModelAddBuffers(builder, buffer_vector)
        tflite.ModelAddSignatureDefs(builder, signature)
        builder.Finish(tflite.ModelEnd(builder), b"TFL3")
        return bytes(builder.Output())

    def _offsets(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def _integers(self, values: Sequence[int], dtype: str = "int32") -> int:
        return int(self._builder.CreateNumpyVector(np.array(values, dtype)))

    def _operator_code(self, name: str, version: int) -> int:
        name, _, custom = name.partition(" ")
        number = getattr(tflite.BuiltinOperator, name)
        custom_code = self._builder.CreateString(custom) if custom else None
        tflite.OperatorCodeStart(self._builder)
        if custom_code is not None:
            tflite.OperatorCodeAddCustomCode(self._builder, custom_code)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(self._builder, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(self._builder, number)
        tflite.OperatorCodeAddVersion(self._builder, version)
        return int(tflite.OperatorCodeEnd(self._builder))

    def _tensor(self, tensor: Tensor) -> int:
        builder = self._builder
        buffer = 0
        if tensor.data is not None:
            buffer = len(self._buffers)
            values = tensor.data[tensor.data != 0] if tensor.is_sparse else tensor.data
            self._buffers.append(np.ascontiguousarray(values).tobytes())
        name = builder.CreateString(tensor.name)
        shape = self._integers(tensor.shape)
        signature = self._integers(tensor.shape_signature)
        quantization = self._quantization(tensor.quantization)
        sparsity = None
        if tensor.is_sparse and tensor.data is not None:
            sparsity = self._sparsity(tensor.data)
        tflite.TensorStart(builder)
        tflite.TensorAddName(builder, name)
        tflite.TensorAddShape(builder, shape)
        if tensor.shape_signature:
            tflite.TensorAddShapeSignature(builder, signature)
        # The package does not know INT2 yet.
        kind = 19 if tensor.dtype == "INT2" else getattr(tflite.TensorType, tensor.dtype)
        tflite.TensorAddType(builder, kind)
        tflite.TensorAddBuffer(builder, buffer)
        tflite.TensorAddIsVariable(builder, tensor.is_variable)
        if quantization is not None:
            tflite.TensorAddQuantization(builder, quantization)
        if sparsity is not None:
            tflite.TensorAddSparsity(builder, sparsity)
        return int(tflite.TensorEnd(builder))

    def _sparsity(self, matrix: npt.NDArray[Any]) -> int:
        """Each row as the columns of what is not 0."""
        builder = self._builder
        rows, columns = np.nonzero(matrix)
        ends = np.searchsorted(rows, np.arange(len(matrix) + 1))
        vectors = []
        for values in (ends, columns):
            numbers = self._integers(values.tolist())
            tflite.Int32VectorStart(builder)
            tflite.Int32VectorAddValues(builder, numbers)
            vectors.append(tflite.Int32VectorEnd(builder))
        tflite.DimensionMetadataStart(builder)
        tflite.DimensionMetadataAddDenseSize(builder, len(matrix))
        dense = tflite.DimensionMetadataEnd(builder)
        tflite.DimensionMetadataStart(builder)
        tflite.DimensionMetadataAddFormat(builder, tflite.DimensionType.SPARSE_CSR)
        tflite.DimensionMetadataAddArraySegmentsType(builder, tflite.SparseIndexVector.Int32Vector)
        tflite.DimensionMetadataAddArraySegments(builder, vectors[0])
        tflite.DimensionMetadataAddArrayIndicesType(builder, tflite.SparseIndexVector.Int32Vector)
        tflite.DimensionMetadataAddArrayIndices(builder, vectors[1])
        levels = self._offsets([dense, tflite.DimensionMetadataEnd(builder)])
        order = self._integers([0, 1])
        tflite.SparsityParametersStart(builder)
        tflite.SparsityParametersAddTraversalOrder(builder, order)
        tflite.SparsityParametersAddDimMetadata(builder, levels)
        return int(tflite.SparsityParametersEnd(builder))

    def _quantization(self, quantization: Quantization | None) -> int | None:
        if quantization is None:
            return None
        scales = self._builder.CreateNumpyVector(np.array(quantization.scales, "float32"))
        zero_points = self._integers(quantization.zero_points, "int64")
        tflite.QuantizationParametersStart(self._builder)
        tflite.QuantizationParametersAddScale(self._builder, scales)
        tflite.QuantizationParametersAddZeroPoint(self._builder, zero_points)
        tflite.QuantizationParametersAddQuantizedDimension(self._builder, quantization.axis)
        return int(tflite.QuantizationParametersEnd(self._builder))

    def _operator(self, operator: Operator, code: int) -> int:
        inputs, outputs = self._integers(operator.inputs), self._integers(operator.outputs)
        intermediates = self._integers(operator.intermediates)
        custom_options = self._builder.CreateByteVector(operator.custom_options)
        options = operator.options[1](self._builder) if operator.options else None
        tflite.OperatorStart(self._builder)
        tflite.OperatorAddOpcodeIndex(self._builder, code)
        tflite.OperatorAddInputs(self._builder, inputs)
        tflite.OperatorAddOutputs(self._builder, outputs)
        if operator.custom_options:
            tflite.OperatorAddCustomOptions(self._builder, custom_options)
        if operator.intermediates:
            tflite.OperatorAddIntermediates(self._builder, intermediates)
        if operator.options and options is not None:
            name = operator.options[0]
            if hasattr(tflite.BuiltinOptions, name):
                kind = getattr(tflite.BuiltinOptions, name)
                tflite.OperatorAddBuiltinOptionsType(self._builder, kind)
                tflite.OperatorAddBuiltinOptions(self._builder, options)
            else:
                kind = getattr(tflite.BuiltinOptions2, name)
                tflite.OperatorAddBuiltinOptions2Type(self._builder, kind)
                tflite.OperatorAddBuiltinOptions2(self._builder, options)
        return int(tflite.OperatorEnd(self._builder))

    def _subgraph(self, model: Model, tensors: Sequence[int], operators: Sequence[int]) -> int:
        tensor_vector, operator_vector = self._offsets(tensors), self._offsets(operators)
        inputs, outputs = self._integers(model.inputs), self._integers(model.outputs)
        tflite.SubGraphStart(self._builder)
        tflite.SubGraphAddTensors(self._builder, tensor_vector)
        tflite.SubGraphAddInputs(self._builder, inputs)
        tflite.SubGraphAddOutputs(self._builder, outputs)
        tflite.SubGraphAddOperators(self._builder, operator_vector)
        return int(tflite.SubGraphEnd(self._builder))

    def _buffer(self, content: bytes) -> int:
        data = self._builder.CreateByteVector(content) if content else None
        tflite.BufferStart(self._builder)
        if data is not None:
            tflite.BufferAddData(self._builder, data)
        return int(tflite.BufferEnd(self._builder))

    def _signature(self, number: int, model: Model) -> int:
        key = self._builder.CreateString(model.signature_name)
        inputs = self._offsets([self._tensor_map(model, i) for i in model.inputs])
        outputs = self._offsets([self._tensor_map(model, i) for i in model.outputs])
        tflite.SignatureDefStart(self._builder)
        tflite.SignatureDefAddSignatureKey(self._builder, key)
        tflite.SignatureDefAddSubgraphIndex(self._builder, number)
        tflite.SignatureDefAddInputs(self._builder, inputs)
        tflite.SignatureDefAddOutputs(self._builder, outputs)
        return int(tflite.SignatureDefEnd(self._builder))

    def _tensor_map(self, model: Model, index: int) -> int:
        name = self._builder.CreateString(model.signature[index])
        tflite.TensorMapStart(self._builder)
        tflite.TensorMapAddName(self._builder, name)
        tflite.TensorMapAddTensorIndex(self._builder, index)
        return int(tflite.TensorMapEnd(self._builder))
