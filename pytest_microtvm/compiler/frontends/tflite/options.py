"""The options of an operator. Whoever converts it has to read them all.

What is stored in a field that the conversion did not read would be lost without a word; so an
operator whose field has another value than the schema's default, and was not read, is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import tflite


class _Table(NamedTuple):
    Bytes: bytes
    Pos: int


_EMPTY_TABLE = _Table(b"\4\0\4\0\4\0\0\0", 4)
"""A flatbuffers table without a single field, so that each has its default."""

_VECTOR_SUFFIXES = ("AsNumpy", "Length", "IsNone")


@cache
def fields_of(name: str) -> tuple[str, ...]:
    """The fields of a table of options, as the `tflite` package spells them.

    Args:
        name: Of the table in the schema, such as "Conv2DOptions"; empty for no table.
    """
    if not name:
        return ()
    members = [
        member
        for member in vars(getattr(tflite, name))
        if member[0].isupper()
        and member != "Init"
        and not member.startswith("GetRoot")
        and not member.endswith("BufferHasIdentifier")
    ]
    return tuple(m for m in members if not m.endswith(_VECTOR_SUFFIXES))


@cache
def _is_vector(name: str, field: str) -> bool:
    return hasattr(getattr(tflite, name), f"{field}Length")


class Options:
    """Reads fields, and knows which were read.

    Args:
        name: The table in the schema; empty when the operator has none.
        table: The stored table; None when there is none: every field has its default.
        reads: The fields that may be asked for.
    """

    def __init__(self, name: str, table: Any, reads: Collection[str]) -> None:
        self._name = name
        self._reads = reads
        self._read: set[str] = set()
        self._stored = _reader(name, table) if name and table is not None else None
        self._defaults = _reader(name, _EMPTY_TABLE) if name else None

    def __getitem__(self, field: str) -> Any:
        """The value of a field: a number, bytes, or a tuple of numbers.

        Raises:
            KeyError: The operator's registration does not say that it reads this field.
        """
        if field not in self._reads:
            raise KeyError(field)
        self._read.add(field)
        return self._value(self._stored or self._defaults, field)

    def unread(self, except_for: Collection[str] = ()) -> list[str]:
        """The fields that say something and were not read, as "name = value".

        Args:
            except_for: Fields that do not matter.
        """
        return [
            f"{field} = {self._value(self._stored, field)}"
            for field in fields_of(self._name)
            if field not in self._read
            and field not in except_for
            and self._stored is not None
            and self._value(self._stored, field) != self._value(self._defaults, field)
        ]

    def _value(self, reader: Any, field: str) -> Any:
        if not _is_vector(self._name, field):
            return getattr(reader, field)()
        if getattr(reader, f"{field}Length")() == 0:
            return ()
        return tuple(np.asarray(getattr(reader, f"{field}AsNumpy")()).tolist())


def _reader(name: str, table: Any) -> Any:
    reader = getattr(tflite, name)()
    reader.Init(table.Bytes, table.Pos)
    return reader
