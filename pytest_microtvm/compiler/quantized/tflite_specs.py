"""What kernels do whose bits TFLite defines: its fixed-point approximations.

As `specs`, in plain data. Only the front end of TFLite asks for these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_microtvm.compiler.quantized.specs import Operand, Requantization, Spec, Window

_Image = tuple[int, int, int, int]


@dataclass(frozen=True)
class Interpolation(Spec):
    """A function of each int16, between the entries of a table.

    Args:
        size: Number of elements.
        table: int16, 513 entries: the function at every 128th value from the least on.
    """

    size: int
    table: npt.NDArray[np.int16]


@dataclass(frozen=True)
class Sigmoid(Spec):
    """The logistic function, or the hyperbolic tangent, of each int16.

    Args:
        size: Number of elements.
        multiplier: Makes of the input, with `shift` bits to the right, numbers in which 2**17
            stands for 10.67.
        shift: Not negative.
        is_tanh: Whether it is the hyperbolic tangent.
    """

    size: int
    multiplier: int
    shift: int
    is_tanh: bool


@dataclass(frozen=True)
class TwoSlopes(Spec):
    """Each element by one factor when it is not negative, by another one when it is.

    Args:
        size: Number of elements.
        input_zero_point: Of the input.
        positive: To the output.
        negative: To the output.
        sign: -1 turns the sign of negative elements before they are scaled.
        dtype: Of input and output.
    """

    size: int
    input_zero_point: int
    positive: Requantization
    negative: Requantization
    sign: int
    dtype: str


@dataclass(frozen=True)
class Prelu(Spec):
    """Negative elements times slopes, which broadcast.

    Args:
        output_shape: What both sides broadcast to.
        operands: The input and the slopes.
        positive: From the input to the output.
        negative: From products of both to the output.
        dtype: int8 or uint8.
    """

    output_shape: tuple[int, ...]
    operands: tuple[Operand, Operand]
    positive: Requantization
    negative: Requantization
    dtype: str


@dataclass(frozen=True)
class SquaredDifference(Spec):
    """The square of the difference of two tensors, which broadcast.

    Args:
        output_shape: What both sides broadcast to.
        operands: Left and right, with factors to a common scale.
        left_shift: Bits that both are shifted by before.
        requantization: From the square to the output.
        dtype: int8.
    """

    output_shape: tuple[int, ...]
    operands: tuple[Operand, Operand]
    left_shift: int
    requantization: Requantization
    dtype: str


@dataclass(frozen=True)
class Quotient(Spec):
    """One tensor by another, which broadcast, by reciprocals in fixed point.

    Args:
        output_shape: What both sides broadcast to.
        operands: Left and right; their factors are without meaning.
        requantization: From the quotient to the output.
        dtype: int8, uint8 or int16.
    """

    output_shape: tuple[int, ...]
    operands: tuple[Operand, Operand]
    requantization: Requantization
    dtype: str


@dataclass(frozen=True)
class Comparison(Spec):
    """Whether elements of two tensors, which broadcast, are in a relation.

    Args:
        relation: C's operator: "==", "<" and so on.
        output_shape: What both sides broadcast to.
        operands: Left and right, with factors to a common scale.
        left_shift: Bits that both are shifted by before.
        dtype: Of the inputs: int8 or uint8.
    """

    relation: str
    output_shape: tuple[int, ...]
    operands: tuple[Operand, Operand]
    left_shift: int
    dtype: str


@dataclass(frozen=True)
class SoftmaxInt16(Spec):
    """Softmax over the last axis; outputs are 32768 times the probabilities.

    Args:
        rows: All elements by `columns`.
        columns: Extent of the last axis.
        multiplier: Of the factor from steps of the input to steps of 10 / 65535.
        shift: Of the same.
        exponentials: A table as `Interpolation` has it: e**x from -10 to 0.
        reciprocals: Another one: 1 / (1 + x) from 0 to 1.
    """

    rows: int
    columns: int
    multiplier: int
    shift: int
    exponentials: npt.NDArray[np.int16]
    reciprocals: npt.NDArray[np.int16]


@dataclass(frozen=True)
class L2Normalization(Spec):
    """Rows divided by their norms; outputs are 128 times the result, plus 128 for uint8.

    Args:
        rows: All elements by `columns`.
        columns: Extent of the last axis.
        zero_point: Of the input.
        dtype: int8 or uint8.
    """

    rows: int
    columns: int
    zero_point: int
    dtype: str


@dataclass(frozen=True)
class TransposedConv2D(Spec):
    """The gradient of a convolution; one output channel is a row of the weights.

    Args:
        input_shape: (n, height, width, channels).
        output_shape: (n, height, width, channels).
        window: How the kernel slides over the output.
        weights: int8 or uint8, shape (output channels, height, width, input channels).
        bias: int32 or int64, in units of the accumulator; None is 0.
        input_zero_point: Of the input.
        requantization: To the output, by output channel.
        input_dtype: int8, uint8 or int16.
        weights_zero_point: Of the weights.
    """

    input_shape: _Image
    output_shape: _Image
    window: Window
    weights: npt.NDArray[Any]
    bias: npt.NDArray[Any] | None
    input_zero_point: int
    requantization: Requantization
    input_dtype: str
    weights_zero_point: int = 0


@dataclass(frozen=True)
class Factor:
    """One side of a product of matrices.

    Args:
        batches: Extents before the last two; they broadcast.
        row_step: Elements from a row to the next one.
        column_step: Elements from a column to the next one.
        zero_point: Of its values.
        values: When they are known.
    """

    batches: tuple[int, ...]
    row_step: int
    column_step: int
    zero_point: int
    values: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class BatchMatMul(Spec):
    """Products of matrices.

    Args:
        batches: Extents before the last two, of the output.
        shape: Rows and columns of each product.
        depth: Columns of the left side, rows of the right one.
        factors: Left and right.
        requantization: To the output.
        dtype: int8 or int16.
    """

    batches: tuple[int, ...]
    shape: tuple[int, int]
    depth: int
    factors: tuple[Factor, Factor]
    requantization: Requantization
    dtype: str


@dataclass(frozen=True)
class UpdateSlice(Spec):
    """A tensor with a box of it replaced; the box is moved so that it fits.

    Args:
        shape: Of the tensor.
        part: Of the box.
        dtype: Of both.
        start_dtype: Of where the box begins: an index for each axis.
    """

    shape: tuple[int, ...]
    part: tuple[int, ...]
    dtype: str
    start_dtype: str


@dataclass(frozen=True)
class LogSoftmax(Spec):
    """The logarithm of softmax over the last axis, in steps of 1 / 16 from the greatest value down.

    Args:
        rows: All elements by `columns`.
        columns: Extent of the last axis.
        multiplier: Of the factor from steps of the input to 26 bits after the point.
        shift: Of the same, to the left: 1 and more.
        least_difference: From the greatest element; e to the power of lower ones counts as 0.
        divisor: Of the factor from 26 bits after the point to steps of the input.
        divisor_shift: Of the same; not positive.
        dtype: int8 or uint8.
    """

    rows: int
    columns: int
    multiplier: int
    shift: int
    least_difference: int
    divisor: int
    divisor_shift: int
    dtype: str


@dataclass(frozen=True)
class PowerOfTwoSum(Spec):
    """A sum or a difference of int16 whose scales are powers of two: one side is shifted.

    Args:
        output_shape: What both sides broadcast to.
        operands: Left and right; their factors are without meaning.
        shifts: Bits that each side is shifted by to the right, rounded; one of them is 0.
        minimum: Least value of the output.
        maximum: Greatest value of the output.
        dtype: int16.
        is_difference: Whether the right side is taken from the left one.
    """

    output_shape: tuple[int, ...]
    operands: tuple[Operand, Operand]
    shifts: tuple[int, int]
    minimum: int
    maximum: int
    dtype: str = "int16"
    is_difference: bool = False


@dataclass(frozen=True)
class LstmGate:
    """What a gate of an LSTM layer adds up: numbers with 12 bits after the point.

    Args:
        weights: int8, shape (units, inputs): of the input.
        bias: int32 of each unit, with what the input's zero point adds.
        scaling: From the sum over the input to the gate: multiplier and shift.
        recurrent: int8, shape (units, units): of the hidden state.
        recurrent_bias: int32 of each unit: what the hidden state's zero point adds.
        recurrent_scaling: From the sum over the hidden state to the gate.
    """

    weights: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int32]
    scaling: tuple[int, int]
    recurrent: npt.NDArray[np.int8]
    recurrent_bias: npt.NDArray[np.int32]
    recurrent_scaling: tuple[int, int]


@dataclass(frozen=True)
class Lstm(Spec):
    """An LSTM layer of int8 whose cells are int16. Outputs: the sequence, hidden and cell states.

    Args:
        steps: How long the sequence is.
        batches: How many there are.
        is_time_major: Whether steps are the first axis of input and output, batches the second.
        gates: For input, forgetting, the cell and output; the first is None where it is what the
            second leaves of 1.
        cell_bits: Of the cell state: bits before the point.
        cell_clip: Greatest magnitude of the cell state; 0 does not hold it.
        hidden_scaling: From products of 30 bits after the point to the hidden state.
        hidden_zero_point: Of the hidden state.
    """

    steps: int
    batches: int
    is_time_major: bool
    gates: tuple[LstmGate | None, LstmGate, LstmGate, LstmGate]
    cell_bits: int
    cell_clip: int
    hidden_scaling: tuple[int, int]
    hidden_zero_point: int


@dataclass(frozen=True)
class SvdfState(Spec):
    """The memory of an SVDF layer: what its filters gave lately, the newest last.

    Args:
        batches: Rows of the input.
        memory: Values that each filter remembers.
        weights: int8, shape (filters, inputs).
        input_zero_point: Of the input.
        requantization: To the memory, without its zero point.
        input_dtype: int8.
        zero_point: Of the memory; it is added to what is clamped already, and may wrap around.
    """

    batches: int
    memory: int
    weights: npt.NDArray[np.int8]
    input_zero_point: int
    requantization: Requantization
    input_dtype: str
    zero_point: int = 0


@dataclass(frozen=True)
class SvdfOutput(Spec):
    """What an SVDF layer makes of its memory.

    Args:
        batches: Rows of the output.
        rank: Filters of each output.
        weights: int8 or int16, shape (filters, memory).
        bias: int32, one for each output; None is 0.
        requantization: To the output.
        state_dtype: Of the memory: int8 or int16.
        zero_point: Of the memory.
    """

    batches: int
    rank: int
    weights: npt.NDArray[Any]
    bias: npt.NDArray[Any] | None
    requantization: Requantization
    state_dtype: str
    zero_point: int = 0
