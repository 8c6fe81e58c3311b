"""Sequences of values as TVM's RPC client writes and reads them, written again for tests."""

from __future__ import annotations

import struct
from dataclasses import dataclass

NONE = 0
INT = 1
BOOL = 2
FLOAT = 3
HANDLE = 4
DEVICE = 6
TENSOR_VIEW = 7
RAW_STRING = 8
BYTE_ARRAY = 9
SMALL_STRING = 11
STRING = 65
TENSOR = 70

CPU = (1, 0)
FLOAT32 = (2, 32, 1)


@dataclass(frozen=True)
class TensorView:
    """A DLTensor on the wire; `data` is an address of the device."""

    data: int
    shape: tuple[int, ...]
    dtype: tuple[int, int, int] = FLOAT32
    device: tuple[int, int] = CPU
    byte_offset: int = 0

    def pack(self) -> bytes:
        return (
            struct.pack("<Qiii", self.data, *self.device, len(self.shape))
            + struct.pack("<BBH", *self.dtype)
            + struct.pack(f"<{len(self.shape)}q", *self.shape)
            + struct.pack("<Q", self.byte_offset)
        )


Value = None | int | float | str | bytes | TensorView


def sequence(*values: bytes) -> bytes:
    return struct.pack("<i", len(values)) + b"".join(values)


def integer(value: int) -> bytes:
    return struct.pack("<iq", INT, value)


def handle(value: int) -> bytes:
    return struct.pack("<iQ", HANDLE, value)


def raw_string(value: str) -> bytes:
    return struct.pack("<iQ", RAW_STRING, len(value)) + value.encode()


def cpu() -> bytes:
    return struct.pack("<iii", DEVICE, *CPU)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, layout: str) -> tuple[int | float, ...]:
        size = struct.calcsize(layout)
        taken, self.data = self.data[:size], self.data[size:]
        return struct.unpack(layout, taken)

    def take_int(self, layout: str) -> int:
        return int(self.take(layout)[0])

    def take_tensor(self) -> TensorView:
        data, device_type, device_id, ndim = map(int, self.take("<Qiii"))
        code, bits, lanes = map(int, self.take("<BBH"))
        shape = tuple(map(int, self.take(f"<{ndim}q")))
        return TensorView(
            data, shape, (code, bits, lanes), (device_type, device_id), self.take_int("<Q")
        )

    def take_value(self) -> Value:
        kind = self.take_int("<i")
        if kind == NONE:
            return None
        if kind in (INT, HANDLE):
            return self.take_int("<q")
        if kind == FLOAT:
            return float(self.take("<d")[0])
        if kind == TENSOR_VIEW:
            return self.take_tensor()
        assert kind == RAW_STRING, kind
        size = self.take_int("<Q")
        text, self.data = self.data[:size], self.data[size:]
        return text.decode()


def parse_values(data: bytes) -> list[Value]:
    """The values of a sequence, which must fill the data."""
    reader = _Reader(data)
    values = [reader.take_value() for _ in range(reader.take_int("<i"))]
    assert reader.data == b""
    return values
