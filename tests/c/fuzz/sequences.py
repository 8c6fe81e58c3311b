"""Sessions of valid packets whose fields are evil, and graphs whose values are, drawn from a seed.

A fuzzer that changes bytes seldom gets past the checks of a packet's form. These have the form, in
an order that builds up state: memory is allocated, copied to, freed and used again, functions are
looked up, evaluators made and called. What they hold is what a sender would try.
"""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

from pytest_microtvm.session.wire.rpc import RpcCode
from tests.c.fuzz.seeds import (
    CONSTANT,
    FUNCTION,
    INPUT,
    KERNEL,
    MODULE,
    OUTPUT,
    POOL,
    SHAPE,
    TIME_EVALUATOR,
    WORKSPACE,
    address,
    graphs,
)
from tests.c.values import DEVICE, NONE, handle, module, raw_string, sequence

MAX_RECORD_BYTES = 255
_EDGES = [0, 1, 2, 3, 4, 15, 16, 17, 63, 64, 65, 255, 256, 320, 511, 512, 513, 65535, 65536]
_WORDS = [(1 << bits) + off for bits in (31, 32, 33, 62, 63, 64) for off in (-16, -1, 0, 1)]
NAMES = ("copy", "add", "split", "ffi.SystemLib", "microtvm.model.run", "", "\0", "x" * 60)


class _Session:
    """Draws the packets of one session.

    Args:
        source: Of what is random.
    """

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._blocks: list[int] = []
        """Addresses that the pool may have handed out."""

    def records(self) -> bytes:
        """The whole input of the harness `server`."""
        source = self._source
        draws: list[Callable[[], tuple[int, bytes]]] = [
            *(self._allocate, self._allocate_tensor, self._free, self._copy_to, self._copy_from),
            *(self._copy_among, self._call, self._call, self._evaluator, self._free_handle),
            *(self._look_up, self._attribute, self._other),
        ]
        made = b"".join(
            self._record(*source.choice(draws)()) for _ in range(source.randrange(3, 14))
        )
        return bytes((source.randrange(8),)) + made

    def _record(self, code: int, body: bytes) -> bytes:
        content = bytearray(struct.pack("<i", code) + body)[:MAX_RECORD_BYTES]
        if self._source.random() < 0.1:
            del content[self._source.randrange(len(content)) :]
        elif self._source.random() < 0.1:
            content[self._source.randrange(len(content))] = self._source.choice((0, 1, 127, 255))
        return bytes((0, len(content))) + bytes(content)

    def _number(self, *usual: int) -> int:
        """Mostly what is usual, sometimes what is at the edge of something."""
        if usual and self._source.random() < 0.6:
            return self._source.choice(usual)
        number = self._source.choice(self._source.choice((_EDGES, _WORDS)))
        return (
            number & ((1 << 64) - 1) if self._source.random() < 0.8 else -number & ((1 << 64) - 1)
        )

    def _integer(self, *usual: int) -> bytes:
        return struct.pack("<iQ", 1, self._number(*usual))

    def _address(self) -> int:
        source = self._source
        if source.random() < 0.1:
            return self._number()
        if self._blocks and source.random() < 0.4:
            return source.choice(self._blocks)
        region = source.choice((INPUT, OUTPUT, WORKSPACE, POOL, CONSTANT))
        return address(region, source.choice((0, 0, 0, 16, 32, 48, 96, 1, 63, 64, 255)))

    def _view(self) -> bytes:
        source = self._source
        shape = [self._number(*SHAPE, 8, 16) for _ in range(source.choice((0, 1, 1, 2, 2, 3)))]
        if source.random() < 0.5:
            shape = list(SHAPE)
        ndim = len(shape) if source.random() < 0.95 else self._number() & 0x7FFFFFFF
        device = (1, 0) if source.random() < 0.95 else (self._number() & 0xFF, 1)
        dtype = (
            (2, 32, 1)
            if source.random() < 0.8
            else source.choice(
                ((0, 8, 1), (2, 32, 0), (2, 64, 1), (0, 1, 1), (2, 32, 0xFFFF), (255, 255, 4))
            )
        )
        return (
            struct.pack("<Qiii", self._address(), *device, ndim)
            + struct.pack("<BBH", *dtype)
            + b"".join(struct.pack("<Q", extent) for extent in shape)
            + struct.pack("<Q", self._number(0, 0, 0, 16))
        )

    def _tensor(self) -> bytes:
        return struct.pack("<i", 7) + self._view()

    def _allocate(self) -> tuple[int, bytes]:
        cpu = struct.pack("<iii", DEVICE, 1, 0)
        self._blocks.append(address(POOL, 16 * self._source.randrange(1, 16)))
        sizes = self._integer(16, 64, 80, 256), self._integer(4, 16, 64)
        return RpcCode.ALLOCATE, sequence(cpu, *sizes, bytes(12))

    def _allocate_tensor(self) -> tuple[int, bytes]:
        self._blocks.append(address(POOL, 16 * self._source.randrange(1, 16)))
        return RpcCode.ALLOCATE_WITH_SCOPE, sequence(self._tensor(), struct.pack("<i", NONE))

    def _free(self) -> tuple[int, bytes]:
        cpu = struct.pack("<iii", DEVICE, 1, 0)
        return RpcCode.FREE, sequence(cpu, handle(self._address()))

    def _copy_to(self) -> tuple[int, bytes]:
        size = self._number(64, 32, 16)
        data = bytes(self._source.randrange(256) for _ in range(min(size, 128)))
        return RpcCode.COPY_TO_REMOTE, self._view() + struct.pack("<Q", size) + data

    def _copy_from(self) -> tuple[int, bytes]:
        return RpcCode.COPY_FROM_REMOTE, self._view() + struct.pack("<Q", self._number(64, 32))

    def _copy_among(self) -> tuple[int, bytes]:
        none = struct.pack("<i", NONE)
        return RpcCode.COPY_AMONG_REMOTE, sequence(self._tensor(), self._tensor(), none)

    def _function(self) -> int:
        kind = self._source.choice((FUNCTION, KERNEL, KERNEL, TIME_EVALUATOR, MODULE))
        return kind + self._source.randrange(14) if self._source.random() < 0.95 else self._number()

    def _call(self) -> tuple[int, bytes]:
        draws = [self._tensor, self._tensor, self._integer, lambda: raw_string(self._name())]
        arguments = [self._source.choice(draws)() for _ in range(self._source.randrange(5))]
        body = struct.pack("<Q", self._function()) + sequence(*arguments)
        return RpcCode.CALL_FUNCTION, body

    def _evaluator(self) -> tuple[int, bytes]:
        settings = [self._integer(value) for value in (1, 0, 2, 3, 1, 10, 0, 1, 0)]
        name = raw_string(self._name())
        body = struct.pack("<Q", FUNCTION + 11)
        return RpcCode.CALL_FUNCTION, body + sequence(
            module(MODULE), name, *settings, raw_string("")
        )

    def _free_handle(self) -> tuple[int, bytes]:
        return RpcCode.FREE_HANDLE, sequence(handle(self._function()))

    def _look_up(self) -> tuple[int, bytes]:
        name = self._name().encode()
        size = len(name) if self._source.random() < 0.9 else self._number()
        return RpcCode.GET_GLOBAL_FUNCTION, struct.pack("<Q", size) + name

    def _attribute(self) -> tuple[int, bytes]:
        device = struct.pack("<iii", DEVICE, 1, self._number() & 0x7FFFFFFF)
        return RpcCode.GET_DEVICE_ATTRIBUTE, sequence(device, self._integer(0, 1, 4))

    def _other(self) -> tuple[int, bytes]:
        code = self._source.choice([*RpcCode, 22, -1, 1 << 30])
        return int(code), sequence(self._integer(), self._tensor())

    def _name(self) -> str:
        return self._source.choice(NAMES)


def sessions(seed: int, count: int) -> Iterator[bytes]:
    """Inputs of the harness `server`."""
    for number in range(count):
        yield _Session(random.Random(f"session {seed}/{number}")).records()


def evil_graphs(seed: int, count: int) -> Iterator[bytes]:
    """Inputs of the harness `graph`."""
    found = [(each[:2], json.loads(each[2:])) for each in graphs() if each[2:3] == b"{"]
    for number in range(count):
        source = random.Random(f"graph {seed}/{number}")
        sizes, document = source.choice(found)
        document = copy.deepcopy(document)
        for _ in range(source.choice((1, 1, 2, 3))):
            _spoil(document, source)
        if source.random() < 0.1:
            sizes = bytes((source.choice((0, 4, 6, 255)), source.choice((0, 4, 6, 255))))
        text = bytearray(json.dumps(document).encode())
        if source.random() < 0.2:
            text[source.randrange(len(text))] = source.choice(b'\0"{}[]:,\\-9e.')
        yield sizes + bytes(text)


def _spoil(document: Any, source: random.Random) -> None:
    """Change one value somewhere below."""
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not keys:
            document.append(0) if isinstance(document, list) else document.update(x=0)
            return
        key = source.choice(keys)
        value = document[key]
        if isinstance(value, (dict, list)) and source.random() < 0.85:
            document = value
            continue
        kind = source.randrange(4)
        if kind == 0:
            number = source.choice([*_EDGES, *_WORDS])
            document[key] = source.choice((number, -number, str(number), number / 2))
        elif kind == 1:
            document[key] = source.choice(
                ("", "copy", "__copy", "float32", "int8", None, True, [], {})
            )
        elif kind == 2 and isinstance(document, list):
            document.append(copy.deepcopy(value))
        else:
            del document[key]
        return
