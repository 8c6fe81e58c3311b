"""A client of the RPC server, packet by packet: what tests ask of a device."""

from __future__ import annotations

import struct

from pytest_microtvm.session.wire.rpc import RpcCode
from tests.c.device import Device
from tests.c.values import (
    FUNCTION,
    MODULE,
    NONE,
    TENSOR,
    TENSOR_VIEW,
    TensorView,
    cpu,
    handle,
    integer,
    module,
    raw_string,
    sequence,
)

PACKET_BYTES = 1024
MAX_PACKET_BYTES = PACKET_BYTES - 16
COPY_OVERHEAD_BYTES = 4 + 8 + 8 + 4 + 4 + 16 + 8 + 8  # of a packet about a tensor of two dimensions
ELEMENTS = 4096
POOL_BYTES = 1024 + 3 * ELEMENTS * 4
TENSOR_BYTES = ELEMENTS * 4
INIT_BODY = struct.pack("<Q", 5) + b"0.8.0" + sequence()


def start(device: Device) -> Device:
    device.start()
    assert device.request(RpcCode.INIT_SERVER, INIT_BODY) == [None]
    return device


def find(device: Device, name: str) -> int:
    (found,) = device.request(RpcCode.GET_GLOBAL_FUNCTION, sequence(raw_string(name)))
    assert isinstance(found, int)
    return found


def call(device: Device, name: str, *arguments: bytes) -> object:
    """Call a function; gives its value, and for a tensor the view of it."""
    body = struct.pack("<Q", find(device, name)) + sequence(*arguments)
    kind, value, *rest = device.request(RpcCode.CALL_FUNCTION, body)
    assert rest == ([0] if kind == TENSOR else [])
    assert (kind in (FUNCTION, MODULE)) <= isinstance(value, int)
    return value


def tensor(device: Device, name: str) -> TensorView:
    view = call(device, name, integer(0))
    assert isinstance(view, TensorView)
    return view


def copy_to(device: Device, view: TensorView, data: bytes) -> None:
    body = view.pack() + struct.pack("<Q", len(data)) + data
    assert device.request(RpcCode.COPY_TO_REMOTE, body) == [None]


def copy_from(device: Device, view: TensorView, size_bytes: int) -> bytes:
    (data,) = device.request(RpcCode.COPY_FROM_REMOTE, view.pack() + struct.pack("<Q", size_bytes))
    assert isinstance(data, bytes)
    return data


def assert_usable(device: Device) -> None:
    """The session goes on."""
    assert call(device, "microtvm.build_id") == "0123456789abcdef"


def value(view: TensorView) -> bytes:
    """A tensor as an argument."""
    return struct.pack("<i", TENSOR_VIEW) + view.pack()


def none() -> bytes:
    return struct.pack("<i", NONE)


def allocate(device: Device, shape: tuple[int, ...] = (64, 64)) -> TensorView:
    body = sequence(value(TensorView(0, shape)), none())
    (address,) = device.request(RpcCode.ALLOCATE_WITH_SCOPE, body)
    assert isinstance(address, int)
    return TensorView(address, shape)


def free(device: Device, address: int) -> None:
    assert device.request(RpcCode.FREE, sequence(cpu(), handle(address))) == [None]


def find_kernel(device: Device, name: str) -> int | None:
    library = call(device, "ffi.SystemLib")
    assert isinstance(library, int)
    found = call(
        device,
        "tvm.rpc.server.ModuleGetFunction",
        module(library),
        raw_string(name),
        struct.pack("<iq", 2, 1),
    )
    assert found is None or isinstance(found, int)
    return found


def call_kernel(device: Device, name: str, *arguments: bytes) -> None:
    body = struct.pack("<Q", find_kernel(device, name) or 0) + sequence(*arguments)
    assert device.request(RpcCode.CALL_FUNCTION, body) == [NONE, None]
