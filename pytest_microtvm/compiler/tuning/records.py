"""A line of a tuning log: how a kernel of some shape is written best for a core."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_microtvm.compiler.quantized.choices import Workload

_MOST_CHARACTERS = 4096
_TEXTS = ("kernel", "core", "version", "metric", "source")


@dataclass(frozen=True)
class Key:
    """What a record is about.

    Args:
        kernel: The kind of kernel, the name of a `Tunable`.
        workload: Its shapes.
        core: The CPU core, as boards call it.
    """

    kernel: str
    workload: Workload
    core: str


def key_of(written: Mapping[str, Any], core: str) -> Key:
    """The key of a kernel, by what the metadata of its archive says of it.

    Raises:
        KeyError, TypeError, ValueError: That is not what this compiler writes.
    """
    return Key(written["kernel"], Workload.from_data(written["workload"]), core)


@dataclass(frozen=True)
class TuningRecord:
    """What was measured of one kernel.

    Args:
        key: What it is about.
        version: The version of the compiler that wrote the candidates.
        choice: The fields of the best one.
        cost: What a call of it takes.
        untuned_cost: What a call takes as the compiler writes it by itself.
        code_bytes: The size of its code.
        untuned_code_bytes: The size of the code as the compiler writes it by itself.
        metric: What the costs are: estimated_cycles, instructions, or latency_us.
        source: Where and how that was measured.
    """

    key: Key
    version: str
    choice: Mapping[str, Any]
    cost: float
    untuned_cost: float
    code_bytes: int
    untuned_code_bytes: int
    metric: str
    source: str

    def replaces(self, other: TuningRecord) -> bool:
        """Whether this one counts, and not one of the same key that was read before it.

        What can be compared is: the lower cost counts. Otherwise the later record does.
        """
        if (self.version, self.metric) != (other.version, other.metric):
            return True
        return self.cost <= other.cost

    def to_line(self) -> str:
        """The line of a log, without its end."""
        data = {
            "kernel": self.key.kernel,
            "workload": self.key.workload.to_data(),
            "core": self.key.core,
            **{name: value for name, value in asdict(self).items() if name != "key"},
        }
        return json.dumps(data)


def parse_record(line: str) -> TuningRecord:
    """The record that a line holds.

    Raises:
        ValueError: It holds none; the message says why, as the end of a sentence about the line.
    """
    if len(line) > _MOST_CHARACTERS:
        raise ValueError(f"has {len(line)} characters, more than {_MOST_CHARACTERS}")
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(data, dict):
        raise ValueError("is not a JSON object")
    for name in _TEXTS:
        if not isinstance(data.get(name), str) or not data[name]:
            raise ValueError(f"has no text {name!r}")
    for name in ("cost", "untuned_cost", "code_bytes", "untuned_code_bytes"):
        if type(data.get(name)) not in (int, float) or not 0 <= data[name] < 1e18:
            raise ValueError(f"has no number {name!r}")
    choice = data.get("choice")
    if not isinstance(choice, dict) or not all(
        type(value) in (int, str, bool) for value in choice.values()
    ):
        raise ValueError("has no object 'choice' of numbers and texts")
    try:
        workload = Workload.from_data(data["workload"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("has no 'workload' with the shapes of a convolution") from None
    return TuningRecord(
        key=Key(data["kernel"], workload, data["core"]),
        version=data["version"],
        choice=choice,
        cost=data["cost"],
        untuned_cost=data["untuned_cost"],
        code_bytes=int(data["code_bytes"]),
        untuned_code_bytes=int(data["untuned_code_bytes"]),
        metric=data["metric"],
        source=data["source"],
    )
