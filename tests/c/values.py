"""Sequences of values as TVM's RPC client writes and reads them, written again for tests."""

from __future__ import annotations

import struct
import zlib
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
BYTES = 66
FUNCTION = 68
TENSOR = 70
MODULE = 73

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


def module(value: int) -> bytes:
    return struct.pack("<iQ", MODULE, value)


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
        assert kind in (RAW_STRING, BYTE_ARRAY), kind
        size = self.take_int("<Q")
        text, self.data = self.data[:size], self.data[size:]
        return text.decode() if kind == RAW_STRING else text


def parse_values(data: bytes) -> list[Value]:
    """The values of a sequence, which must fill the data."""
    reader = _Reader(data)
    values = [reader.take_value() for _ in range(reader.take_int("<i"))]
    assert reader.data == b""
    return values


# ---- what a device may be asked ----

WORDS = frozenset((INT, BOOL, FLOAT, HANDLE, 5, DEVICE, FUNCTION, MODULE))
TEXTS = {RAW_STRING: RAW_STRING, BYTE_ARRAY: BYTE_ARRAY, STRING: RAW_STRING, BYTES: BYTE_ARRAY}
MAX_DIMS = 8
MAX_U32 = 2**32 - 1


class Unreadable(Exception):
    """No sequence that the device can read."""


class _Arguments:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.position:
            raise Unreadable
        self.position += size
        return self.data[self.position - size : self.position]

    def number(self, layout: str) -> int:
        return int(struct.unpack(layout, self.take(struct.calcsize(layout)))[0])

    def value(self) -> str:
        kind = self.number("<i")
        if kind == NONE:
            return "0/0"
        if kind in WORDS:
            return f"{kind}/{self.number('<Q'):x}"
        if kind == TENSOR_VIEW:
            return f"{kind}/{self.tensor()}"
        if kind in (SMALL_STRING, 12, STRING, BYTES):
            kind = self.number("<i")
            if kind not in (STRING, BYTES):
                raise Unreadable
        if kind not in TEXTS:
            raise Unreadable
        return f"{TEXTS[kind]}/{zlib.crc32(self.take(self.number('<Q'))):x}"

    def tensor(self) -> str:
        data, device, ndim = self.number("<Q"), self.take(8), self.number("<I")
        _, bits, lanes = struct.unpack("<BBH", self.take(4))
        if device != struct.pack("<ii", *CPU) or ndim > MAX_DIMS or lanes != 1:
            raise Unreadable
        if bits == 0 or bits % 8:
            raise Unreadable
        size = bits // 8
        for _ in range(ndim):
            extent = self.number("<Q")
            size *= extent
            if extent > MAX_U32 or size > MAX_U32:
                raise Unreadable
        address = data + self.number("<Q")
        if address >= 2**64:
            raise Unreadable
        return f"{address:x}/{size:x}"


def read_arguments(data: bytes) -> list[str]:
    """The values of a sequence as the device reads them, which must fill the data.

    Returns:
        Words such as "1/2a", an int; "7/ADDRESS/SIZE", a tensor; "8/CRC", a string.

    Raises:
        Unreadable: It must refuse them.
    """
    reader = _Arguments(data)
    count = reader.number("<I")
    if count > len(data):
        raise Unreadable
    values = [reader.value() for _ in range(count)]
    if reader.position != len(data):
        raise Unreadable
    return values
