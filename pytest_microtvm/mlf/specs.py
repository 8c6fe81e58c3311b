"""What an archive says of its model, in plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model.

    Args:
        name: The model's own name for it.
        shape: Its extents, row-major; empty for a scalar.
        dtype: Element type as numpy names it.
        size_bytes: Bytes without padding.
        c_name: Its member in the structs of the C interface.
        signature_name: Its name in the model's signature, where the model has one.
        scale: What an integer counts, of a quantized tensor: real = scale * (integer - zero_point);
            None for others.
        zero_point: The integer that stands for 0.
        index_limit: Where its elements number those of an axis, the extent of that.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    c_name: str = ""
    signature_name: str | None = None
    scale: float | None = None
    zero_point: int | None = None
    index_limit: int | None = None


@dataclass(frozen=True)
class FloatOperators:
    """What of a quantized model is computed in float32: no integer kernel exists, or it is float.

    Args:
        operators: Each group of operators.
        functions: C names of the kernels that compute them.
        constants_bytes: Float32 constants that they read.
        workspace_bytes: What they take of the arena, at the most.
    """

    operators: tuple[str, ...]
    functions: tuple[str, ...]
    constants_bytes: int
    workspace_bytes: int

    def __str__(self) -> str:
        return (
            "computed in float32, for want of an integer kernel or because the model has it so: "
            f"{'; '.join(self.operators)} "
            f"({self.constants_bytes} bytes of constants, {self.workspace_bytes} of the arena)"
        )


@dataclass(frozen=True)
class KernelSpec:
    """A kernel of a model.

    Args:
        name: Its C name.
        workspace_bytes: Scratch memory that it needs beside its tensors.
        macs: Multiplications with accumulation in one call; None where that is not known.
    """

    name: str
    workspace_bytes: int
    macs: int | None = None


@dataclass(frozen=True)
class DeadWeights:
    """What a quantized model computes for nothing, and its kernels leave out.

    Args:
        macs: Multiplications with accumulation of an inference.
        constants_bytes: Weights and biases.
    """

    macs: int
    constants_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.macs:,} multiplications and {self.constants_bytes:,} bytes of weights are dead "
            "in the model, and are left out"
        )


@dataclass(frozen=True)
class StateSpec:
    """What a model keeps from run to run.

    Args:
        tensor: Its name, shape and element type.
        initial: The name of the constant that it begins as; None where that is zeros.
    """

    tensor: TensorSpec
    initial: str | None


@dataclass(frozen=True)
class PoolSpec:
    """A memory that a model takes.

    Args:
        name: Its member in the pools of the C interface.
        size_bytes: How much.
        limit_bytes: How much the model was allowed; None for any.
        bound_bytes: What is alive in it at once, at the most; None of constants.
        is_internal: Whether it is a static array of the model's library.
    """

    name: str
    size_bytes: int
    limit_bytes: int | None = None
    bound_bytes: int | None = None
    is_internal: bool = False

    def __str__(self) -> str:
        limit = "" if self.limit_bytes is None else f" of {self.limit_bytes:,}"
        bound = "" if self.bound_bytes is None else f", {self.bound_bytes:,} alive at once"
        return f"{self.name} {self.size_bytes:,}{limit} bytes{bound}"
