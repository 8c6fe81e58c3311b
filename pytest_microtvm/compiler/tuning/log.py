"""Tuning logs as they are read and put together, and the choices that follow from them.

A log is a file of JSON lines. Logs are put together by writing one behind the other: of several
records about the same kernel, one counts (`TuningRecord.replaces`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pytest_microtvm.compiler.quantized.choices import Choice, Choose, Tunable, Workload, first
from pytest_microtvm.compiler.tuning.records import Key, TuningRecord, parse_record
from pytest_microtvm.compiler.tuning_files import LOG_CURE, logs_of, read_bytes
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.version import __version__


def read_log(path: Path) -> list[TuningRecord]:
    """The records of a log, in its order.

    Raises:
        ConfigError: It cannot be read, or a line is wrong.
    """
    try:
        text = read_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"the tuning log {path} is not text in UTF-8", cure=LOG_CURE) from None
    records = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                records.append(parse_record(line))
            except ValueError as error:
                raise ConfigError(
                    f"line {number} of the tuning log {path} {error}",
                    cure="remove that line, or make the log anew with microtvm tune",
                ) from None
    return records


def merged(records: Iterable[TuningRecord]) -> dict[Key, TuningRecord]:
    """By key, the record that counts."""
    found: dict[Key, TuningRecord] = {}
    for record in records:
        known = found.get(record.key)
        if known is None or record.replaces(known):
            found[record.key] = record
    return found


def log_for(core: str, tuning: str | None) -> dict[Key, TuningRecord]:
    """The records about a core.

    Args:
        core: As of `tuning_files.logs_of`.
        tuning: Likewise.

    Raises:
        ConfigError: A log cannot be used.
    """
    found: dict[Key, TuningRecord] = {}
    for log in logs_of(core, tuning):
        found |= merged(read_log(log))
    return {key: record for key, record in found.items() if key.core == core}


def choices_for(core: str, tuning: str | None) -> Choose:
    """What takes, of each kernel, the way to write it that the logs have.

    The compiler's own way is taken for what no log has, and where a log of another version of the
    compiler has what there is no more.

    Args:
        core: As of `log_for`.
        tuning: Likewise.

    Raises:
        ConfigError: A log cannot be used; also, when it chooses, if it has something that never was
            a way to write that kernel.
    """
    records = log_for(core, tuning)

    def choose(tunable: Tunable, workload: Workload) -> Choice:
        record = records.get(Key(tunable.name, workload, core))
        if record is None:
            return first(tunable, workload)
        for candidate in tunable.candidates(workload):
            if candidate.to_data() == record.choice:
                return candidate
        if record.version != __version__:
            return first(tunable, workload)
        raise ConfigError(
            f"a tuning log has the choice {json.dumps(record.choice)} for the kernel "
            f"{tunable.name} of a {core}, which is none of its candidates",
            cure="remove that record, or tune the model anew",
        )

    return choose
