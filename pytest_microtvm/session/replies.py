"""Checks a device's answers before TVM's client reads them.

The client trusts its server: it reads as many values as an answer announces, and allocates what
their lengths say, from whatever memory follows. A device with a bug must not be able to crash or
hang the process that runs the tests, so an answer that the client's reader would not take whole
never reaches it. Source of the rules: src/runtime/rpc of apache-tvm 0.27.
"""

from __future__ import annotations

import math
import struct

from pytest_microtvm.errors import ProtocolError
from pytest_microtvm.session.wire.rpc import RpcCode, packet_code

_BODY = 12  # where a packet's body begins: after its length and code
_I32 = struct.Struct("<i")
_I64 = struct.Struct("<q")
_U64 = struct.Struct("<Q")
_TENSOR = struct.Struct("<QiiiBBH")  # data, device type and id, ndim, dtype code, bits, lanes

# Type indices of values.
_NONE, _INT, _BOOL, _FLOAT, _HANDLE, _DTYPE, _DEVICE, _VIEW = 0, 1, 2, 3, 4, 5, 6, 7
_RAW_STRING, _RAW_BYTES, _SMALL_STRING, _SMALL_BYTES = 8, 9, 11, 12
_STRING, _BYTES, _FUNCTION, _MODULE, _TENSOR_TYPE = 65, 66, 68, 73, 70

_WORDS = frozenset((_INT, _BOOL, _FLOAT, _HANDLE, _DTYPE, _DEVICE))
_SCALARS = _WORDS | {_NONE}
_STRINGS = frozenset((_STRING, _SMALL_STRING, _RAW_STRING))
_BYTE_STRINGS = frozenset((_BYTES, _SMALL_BYTES, _RAW_BYTES))
_REMOTE_TEXTS = frozenset((_STRING, _BYTES, _SMALL_STRING, _SMALL_BYTES))

_MAX_VALUES = 3
_MAX_DIMS = 32
_MAX_TENSOR_BYTES = 1 << 40
_MAX_DEVICE_TYPE = 31

_RETURNS_HANDLE = frozenset(
    (
        RpcCode.GET_GLOBAL_FUNCTION,
        RpcCode.ALLOCATE,
        RpcCode.ALLOCATE_WITH_SCOPE,
        RpcCode.CREATE_STREAM,
        RpcCode.GET_STREAM,
    )
)


class _Malformed(Exception):
    """The answer cannot be read; the text says why."""


def check_reply(request: bytes, reply: bytes) -> None:
    """Make sure that TVM's client can read an answer.

    Args:
        request: The RPC packet that was sent.
        reply: The RPC packet that came back.

    Raises:
        ProtocolError: It is no answer to this request, or is malformed; says how.
    """
    asked = packet_code(request)
    try:
        try:
            code = packet_code(reply)
        except ProtocolError as error:
            raise _Malformed(error.message) from error
        if code == RpcCode.EXCEPTION:
            _check_exception(reply)
        elif asked == RpcCode.COPY_FROM_REMOTE:
            _check_copied_data(request, code, reply)
        elif code != RpcCode.RETURN:
            raise _Malformed(f"it has code {code}")
        elif asked == RpcCode.CALL_FUNCTION:
            _check_return(reply)
        else:
            _check_result(asked, reply)
    except _Malformed as reason:
        raise ProtocolError(
            f"the device's answer to {describe_request(request)} makes no sense: {reason}",
            cure="build the firmware with the runtime of this release",
        ) from None


_REQUESTS = {
    RpcCode.INIT_SERVER: "the first request",
    RpcCode.CALL_FUNCTION: "a call",
    RpcCode.COPY_FROM_REMOTE: "a copy from the device",
    RpcCode.COPY_TO_REMOTE: "a copy to the device",
    RpcCode.GET_GLOBAL_FUNCTION: "the question for a function",
    RpcCode.FREE_HANDLE: "the release of a handle",
    RpcCode.ALLOCATE: "an allocation",
    RpcCode.ALLOCATE_WITH_SCOPE: "an allocation",
    RpcCode.FREE: "the release of memory",
    RpcCode.COPY_AMONG_REMOTE: "a copy on the device",
    RpcCode.STREAM_SYNC: "a synchronization",
}


def describe_request(request: bytes) -> str:
    """What a request is, for messages."""
    code = packet_code(request)
    return next((text for known, text in _REQUESTS.items() if known == code), f"request {code}")


def _check_exception(reply: bytes) -> None:
    values = _read_values(reply)
    if len(values) != 1 or values[0] not in _STRINGS:
        raise _Malformed("an exception without a message")


def _check_copied_data(request: bytes, code: int, reply: bytes) -> None:
    if code != RpcCode.COPY_ACK:
        raise _Malformed(f"it has code {code}, copied data have {int(RpcCode.COPY_ACK)}")
    (wanted,) = _U64.unpack_from(request, len(request) - _U64.size)
    if len(reply) - _BODY != wanted:
        raise _Malformed(f"{len(reply) - _BODY} bytes of data, {wanted} were asked for")


def _check_return(reply: bytes) -> None:
    """The answer to a call: the type index of the value as an int, then the value."""
    types = _read_values(reply)
    if not types or types[0] != _INT:
        raise _Malformed("a return without the type of its value")
    (announced,) = _I64.unpack_from(reply, _BODY + 2 * _I32.size)
    rest = types[1:]
    if announced == _NONE:
        good = rest in ([], [_NONE])
    elif announced in (_TENSOR_TYPE, _VIEW):
        good = rest in ([_VIEW, _HANDLE], [_VIEW, _NONE])
    elif announced in (_FUNCTION, _MODULE):
        good = rest == [_HANDLE]
    elif announced in _REMOTE_TEXTS:
        good = len(rest) == 1 and rest[0] in _STRINGS | _BYTE_STRINGS
    else:
        good = announced in _WORDS and rest == [announced]
    if not good:
        raise _Malformed(f"a return of type {announced} with values of types {rest}")


def _check_result(asked: int, reply: bytes) -> None:
    """The answer to any other request: one value."""
    types = _read_values(reply)
    allowed = frozenset((_HANDLE, _NONE)) if asked in _RETURNS_HANDLE else _SCALARS
    if len(types) != 1 or types[0] not in allowed:
        raise _Malformed(f"values of types {types}")


def _read_values(packet: bytes) -> list[int]:
    """Walk the sequence that is a packet's body.

    Returns:
        The type indices of its values.

    Raises:
        _Malformed: Something is missing, left over, or not what TVM's client reads.
    """
    reader = _Reader(packet, _BODY)
    count = reader.number(_I32)
    if not 0 <= count <= _MAX_VALUES:
        raise _Malformed(f"{count} values announced")
    types = [reader.value() for _ in range(count)]
    if reader.left_bytes:
        raise _Malformed(f"{reader.left_bytes} bytes left over")
    return types


class _Reader:
    """Reads values off the bytes of a packet."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position

    @property
    def left_bytes(self) -> int:
        return len(self._data) - self._position

    def take(self, size: int) -> bytes:
        if size > self.left_bytes:
            raise _Malformed(f"{size} bytes announced where {self.left_bytes} are left")
        self._position += size
        return self._data[self._position - size : self._position]

    def number(self, layout: struct.Struct) -> int:
        return int(layout.unpack(self.take(layout.size))[0])

    def value(self) -> int:
        """Pass over one value; its type index."""
        kind = self.number(_I32)
        if kind in _WORDS:
            self.take(_I64.size)
        elif kind in (_RAW_STRING, _RAW_BYTES):
            self._text(kind == _RAW_STRING)
        elif kind in _REMOTE_TEXTS:
            inner = self.number(_I32)
            if inner not in (_STRING, _BYTES):
                raise _Malformed(f"a text of unknown type {inner}")
            self._text(inner == _STRING)
        elif kind == _VIEW:
            self._view()
        elif kind != _NONE:
            raise _Malformed(f"a value of unknown type {kind}")
        return kind

    def _text(self, utf8: bool) -> None:
        data = self.take(self.number(_U64))
        if utf8:
            try:
                data.decode()
            except UnicodeDecodeError:
                raise _Malformed("a string that is not UTF-8") from None

    def _view(self) -> None:
        _data, device_type, device_id, ndim, _code, bits, lanes = _TENSOR.unpack(
            self.take(_TENSOR.size)
        )
        if not 1 <= device_type <= _MAX_DEVICE_TYPE or device_id < 0:
            raise _Malformed(f"a tensor on device {device_type}:{device_id}")
        if not 0 <= ndim <= _MAX_DIMS:
            raise _Malformed(f"a tensor of {ndim} dimensions")
        if bits not in (1, 4, 8, 16, 32, 64) or lanes != 1:
            raise _Malformed(f"tensor elements of {bits} bits, {lanes} lanes")
        shape = [self.number(_I64) for _ in range(ndim)]
        if min(shape, default=0) < 0 or math.prod(shape) * bits // 8 > _MAX_TENSOR_BYTES:
            raise _Malformed(f"a tensor of shape {shape}")
        self.take(_U64.size)  # byte offset
