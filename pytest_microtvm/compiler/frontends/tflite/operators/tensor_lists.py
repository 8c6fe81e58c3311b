"""Lists of tensors as TensorFlow's own operators make them, which a converter may leave in a model.

Such a list is a tensor whose first axis are its items. How long the items are is known from the
first one that is put into it: until then it is an `OpenList`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from pytest_microtvm.compiler.frontends.tflite.call import Call, constant
from pytest_microtvm.compiler.frontends.tflite.open_lists import OpenList
from pytest_microtvm.compiler.frontends.tflite.registry import operator
from pytest_microtvm.compiler.quantized.tflite_specs import UpdateSlice

_GROWS = b"resize_if_index_out_of_bounds\x12\x02\x28\x01"
"""The attribute of TensorFlow's operator, with the value true."""


@operator("CUSTOM FlexTensorListReserve")
def reserve(call: Call) -> Any:
    """A list of so many items, which are zeros until they are set."""
    [count] = call.integers(1, "how many items its list has")
    if count < 1:
        raise call.refusal(f"its list has {count} items")
    return OpenList(count)


@operator("CUSTOM FlexTensorListFromTensor")
def from_tensor(call: Call) -> Any:
    """The rows of a tensor."""
    data = call.input(0)
    return data.expression if data.value is None else data.value


@operator("CUSTOM FlexTensorListStack")
def stack(call: Call) -> Any:
    """The items as one tensor."""
    data = call.input(0)
    return data.expression if data.value is None else data.value


@operator("CUSTOM FlexTensorListGetItem")
def get_item(call: Call) -> Any:
    """The item of a number."""
    data, number = call.input(0), call.input(1)
    place = relax.op.reshape(number.expression, [])
    return relax.op.take(data.expression, place, axis=0, mode="clip")


@operator("CUSTOM FlexTensorListSetItem")
def set_item(call: Call) -> Any:
    """The list with another item at a number."""
    data, number, item = call.operands
    if _GROWS in call.operator.custom_options:
        raise call.refusal("it makes its list longer")
    if data.open_list is not None:
        before: Any = constant(np.zeros((data.open_list.count, *item.shape), item.dtype))
        shape = (data.open_list.count, *item.shape)
    else:
        before, shape = data.expression, data.shape
    if shape[1:] != item.shape:
        raise call.refusal(f"it puts {item.shape} into a list of {shape[1:]}")
    update = relax.op.expand_dims(item.expression, 0)
    start = relax.op.reshape(number.expression, [1])
    if item.rank:
        start = relax.op.concat([start, constant(np.zeros(item.rank, number.dtype))], 0)
    spec = UpdateSlice(shape, (1, *item.shape), item.dtype, number.dtype)
    return call.kernel("list_item", spec, [before, update, start], shape, item.dtype)
