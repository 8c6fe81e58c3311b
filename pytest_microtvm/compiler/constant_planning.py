"""Which constants go into pools that the application fills, and where in them.

What is not in a pool stays in flash. A pool with a size gets the constants that are read the most
often for each of their bytes, as the multiplications of the kernels that read them tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_microtvm.compiler.pools import ConstantPoolInfo, fastest_first
from pytest_microtvm.compiler.program import KernelCall, Program, StorageKind, align_up
from pytest_microtvm.mlf.element_types import ALIGNMENT_BYTES


@dataclass(frozen=True)
class PlannedConstants:
    """A pool of constants, and what is in it.

    Args:
        info: As it was given.
        size_bytes: How much is taken of it, a multiple of the alignment; never 0, since an array of
            no elements is not C.
        offsets: Where each constant is, by its number.
    """

    info: ConstantPoolInfo
    size_bytes: int
    offsets: dict[int, int]

    def data(self, program: Program) -> bytes:
        """What the application fills it with."""
        content = bytearray(self.size_bytes)
        for number, offset in self.offsets.items():
            raw = program.constants[number]
            little = raw.astype(raw.dtype.newbyteorder("<")).tobytes()
            content[offset : offset + len(little)] = little
        return bytes(content)


def plan_constants(
    program: Program, pools: Sequence[ConstantPoolInfo]
) -> tuple[PlannedConstants, ...]:
    """Plan the pools of constants of `program`, in the order in which they are given.

    The constants that states begin as stay in flash: they are not needed in a run.
    """
    left = [
        number for number in _most_read_first(program) if number not in set(program.initial_states)
    ]
    planned: dict[str, PlannedConstants] = {}
    for pool in fastest_first(pools):
        offsets: dict[int, int] = {}
        used_bytes = 0
        for number in left:
            size_bytes = align_up(int(program.constants[number].nbytes))
            limit = pool.size_hint_bytes
            if limit is None or used_bytes + size_bytes <= limit:
                offsets[number] = used_bytes
                used_bytes += size_bytes
        left = [number for number in left if number not in offsets]
        planned[pool.name] = PlannedConstants(pool, max(used_bytes, ALIGNMENT_BYTES), offsets)
    return tuple(planned[pool.name] for pool in pools)


def _most_read_first(program: Program) -> list[int]:
    """The constants by how often each of their bytes is read in a run."""
    reads = dict.fromkeys(range(len(program.constants)), 0)
    for call in program.calls:
        if not isinstance(call, KernelCall):
            continue
        macs = program.kernels[call.kernel].macs or 0
        for storage in program.storages(call):
            if storage.kind is StorageKind.CONSTANT:
                reads[storage.index] += max(macs, int(program.constants[storage.index].size))
    return sorted(
        reads, key=lambda number: (-reads[number] / program.constants[number].nbytes, number)
    )
