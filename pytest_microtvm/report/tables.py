"""What a run prints for a person."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_microtvm.report.layers import layer_table
from pytest_microtvm.report.layout import (
    Column,
    Paint,
    fitted,
    fold,
    format_table,
    plain,
    shorten,
)
from pytest_microtvm.report.matrix import COLOURS, matrix
from pytest_microtvm.report.names import short_names

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.boards.selection import Readiness
    from pytest_microtvm.measure.records import Record


def board_table(boards: dict[str, Board], ready: Mapping[str, Readiness]) -> Iterator[str]:
    """The known boards, a line each, and what those lack for which nothing can be built here.

    Args:
        boards: By name.
        ready: What of each can be had here, by label.
    """
    rows = [
        (
            b.name,
            ", ".join(b.platforms),
            b.cpu.core or b.cpu.arch,
            ready[b.label].word,
            b.description,
        )
        for b in boards.values()
    ]
    yield from format_table([("BOARD", "PLATFORM", "CPU", "HERE", "DESCRIPTION"), *rows])
    lacking: dict[str, list[str]] = {}
    for board in boards.values():
        state = ready[board.label]
        if state.to_build:
            install = f"; install with: {' && '.join(state.install)}" if state.install else ""
            lacking.setdefault(f"{', '.join(state.to_build)}{install}", []).append(board.name)
    if lacking:
        yield ""
    for missing, names in lacking.items():
        yield f"no firmware can be built here for {', '.join(names)}: missing {missing}"


def run_report(
    records: Sequence[Record],
    *,
    verbose: bool,
    layers: bool,
    width: int | None = None,
    paint: Paint = plain,
) -> Iterator[str]:
    """What a run came to.

    Args:
        records: Of the run.
        verbose: Tell where flash and RAM go, and why figures are absent.
        layers: Tell where the instructions of each model go.
        width: Characters of a line; None for the terminal's.
        paint: Gives verdicts and outcomes their colours.
    """
    columns = shutil.get_terminal_size().columns if width is None else width
    columns = max(columns, _NARROWEST)
    overview = list(matrix(records, columns, paint))
    if overview:
        yield from (*overview, "")
    yield from verdict_table(records, columns, paint)
    notes = [*skipped_records(records), *float_operators(records), *dead_weights(records)]
    if verbose:
        for kind in ("flash", "ram"):
            for table in size_tables(records, kind, columns):
                yield from ("", *table)
        notes += absent_figures(records)
    if notes:
        yield ""
    for note in notes:
        yield from fold(note, columns)
    if layers:
        names = short_names(record.model for record in records)
        for record in records:
            yield from ("", *layer_table(record, names[record.model], columns))
    yield ""
    yield from fold(summary(records), columns)


def verdict_table(
    records: Sequence[Record], width: int = 80, paint: Paint = plain
) -> Iterator[str]:
    """The verdicts and figures of a run, a line each, in groups of one model if there are many.

    What is the same for all of them stands above.
    """
    columns = [*_subject(records), *_verdicts(records), *_figures(records)]
    same = [column for column in columns if column.is_constant and not column.is_number]
    shown = [column for column in columns if column not in same]
    is_grouped = len(same) < len(columns) and _is_grouped(records)
    if same:
        yield from fold(_in_words({column.heading: column.cells[0] for column in same}), width)
    if is_grouped:
        shown = [column for column in shown if column.heading != "MODEL"]
    for number, table in enumerate(fitted(shown, width - len(_INDENT) * is_grouped, paint)):
        if number:
            yield ""
        if not is_grouped:
            yield from table
            continue
        yield _INDENT + table[0]
        names = short_names(record.model for record in records)
        model = ""
        for record, line in zip(records, table[1:], strict=True):
            if record.model != model:
                model = record.model
                yield shorten(names[model], width)
            yield _INDENT + line


def _is_grouped(records: Sequence[Record]) -> bool:
    models = {record.model for record in records}
    return 1 < len(models) < len(records)


def _subject(records: Sequence[Record]) -> list[Column]:
    names = short_names(record.model for record in records)
    return [
        Column("MODEL", [names[record.model] for record in records], is_name=True),
        Column("BOARD", [record.board for record in records], is_name=True),
        Column("EXECUTOR", [record.executor for record in records], is_name=True),
    ]


def _verdicts(records: Sequence[Record]) -> list[Column]:
    outcomes = [record.outcome for record in records]
    verdicts = [record.verdict or "-" for record in records]
    columns = [
        Column("TESTS", outcomes, colours=[COLOURS[outcome] for outcome in outcomes]),
        Column("VERDICT", verdicts, colours=[_VERDICT_COLOURS[verdict] for verdict in verdicts]),
        Column("CHECK", [_check(record) for record in records]),
    ]
    if any(record.mismatched for record in records):
        cells = [
            f"{record.mismatched:,} of {record.elements:,}" if record.elements else "-"
            for record in records
        ]
        columns.append(Column("MISMATCHED", cells, is_number=True))
    return columns


def _check(record: Record) -> str:
    if record.model_check == "not checked":
        return "-"
    return record.model_check.partition(" by ")[0]  # the report of the test has the rest


def _figures(records: Sequence[Record]) -> list[Column]:
    columns = [
        Column(heading, [figure(record, name) for record in records], is_number=True)
        for heading, name in shown_figures(records).items()
    ]
    latencies = [milliseconds(record) for record in records]
    return [*columns, Column("LATENCY", latencies, is_number=True)]


def _in_words(same: Mapping[str, str]) -> str:
    """What all records have in common."""
    before = {"MODEL": "", "BOARD": "on ", "EXECUTOR": "by "}
    subject = [f"{word}{same[name]}" for name, word in before.items() if name in same]
    words = {"TESTS": "tests", "VERDICT": "verdict", "CHECK": "check"}
    known = {"-": "none"}
    facts = [f"{words[name]} {known.get(same[name], same[name])}" for name in words if name in same]
    return ": ".join(filter(None, (" ".join(subject), ", ".join(facts))))


def size_tables(records: Sequence[Record], kind: str, width: int = 80) -> Iterator[list[str]]:
    """Where the flash or the RAM goes, a line for each record that knows; nothing if none does.

    Args:
        records: Of a run.
        kind: "flash" or "ram".
        width: Characters of a line.
    """
    prefix, suffix = f"{kind}_", "_bytes"
    known = [record for record in records if f"{kind}{suffix}" in record.metrics]
    if not known:
        return
    names = [
        name
        for name in dict.fromkeys(name for record in known for name in record.metrics)
        if name.startswith(prefix)
        and name != f"{kind}{suffix}"
        and any(record.metrics.get(name, {}).get("value") for record in known)
    ]
    headings = {kind.upper(): f"{kind}{suffix}"}
    headings |= {name.removeprefix(prefix).removesuffix(suffix).upper(): name for name in names}
    parts = [
        Column(heading, [figure(record, name) for record in known], is_number=True)
        for heading, name in headings.items()
    ]
    subject = [column for column in _subject(known) if not column.is_constant]
    yield from fitted([*(subject or _subject(known)[:1]), *parts], width)


def skipped_records(records: Sequence[Record]) -> list[str]:
    """What was not run and why, a line for each: what a model needs, and what the board has."""
    names = short_names(record.model for record in records)
    executors: dict[tuple[str, str], list[str]] = {}
    for record in records:
        if record.outcome == "skipped" and record.error:
            executors.setdefault((names[record.model], record.error), []).append(record.executor)
    return [
        f"{model} ({', '.join(dict.fromkeys(each))}) was skipped: {error}"
        for (model, error), each in executors.items()
    ]


def float_operators(records: Sequence[Record]) -> list[str]:
    """What operators without an integer kernel cost quantized models, a line for each model."""
    names = short_names(record.model for record in records)
    shares: dict[str, list[tuple[float, Record]]] = {}
    for record in records:
        if "float_instructions" in record.metrics:
            part, total = (
                record.metrics[name]["value"] for name in ("float_instructions", "instructions")
            )
            shares.setdefault(record.model, []).append((part / total, record))
    lines = []
    for model, found in shares.items():
        share, record = max(found, key=lambda each: each[0])
        part, total = (
            int(record.metrics[name]["value"]) for name in ("float_instructions", "instructions")
        )
        most = "" if len(found) == 1 else f" ({share:.0%}), of {len(found)} the most"
        lines.append(
            f"{names[model]} on {record.board}, {record.executor}: {part:,} of {total:,} "
            f"instructions{most} are those of operators in float32, which have no integer kernel"
        )
    return lines


def dead_weights(records: Sequence[Record]) -> list[str]:
    """What quantized models compute for nothing, a line for each model."""
    names = short_names(record.model for record in records)
    found = {
        record.model: [
            int(record.metrics[name]["value"]) for name in ("dead_macs", "dead_constants_bytes")
        ]
        for record in records
        if "dead_macs" in record.metrics
    }
    return [
        f"{names[model]}: {macs:,} multiplications and {size:,} bytes of weights are dead in the "
        "model, and were left out"
        for model, (macs, size) in found.items()
    ]


def absent_figures(records: Sequence[Record]) -> list[str]:
    """Which figures are not there and why, a line for each reason."""
    boards: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for name, reason in record.absent.items():
            boards.setdefault((name, reason), []).append(record.board)
    return [
        f"no {name} of {', '.join(dict.fromkeys(where))}: {reason}"
        for (name, reason), where in boards.items()
    ]


def summary(records: Sequence[Record]) -> str:
    """The whole run in one line."""
    models = len({record.model for record in records})
    boards = len({record.board for record in records})
    executors = len({record.executor for record in records})
    what = f"{models} model{'s' * (models > 1)} on {boards} board{'s' * (boards > 1)}"
    if executors > 1:
        what += f" by {executors} executors"
    outcomes = [record.outcome for record in records]
    counts = [f"{outcomes.count(each)} {each}" for each in COLOURS if each in outcomes]
    elements = sum(record.elements for record in records)
    mismatched = sum(record.mismatched for record in records)
    compared = (
        f"{mismatched:,} of {elements:,} elements differ" if elements else "nothing was compared"
    )
    return f"{what}: {', '.join(counts)}; {compared}"


FIGURES = {
    "FLASH": "flash_bytes",
    "RAM": "ram_bytes",
    "ARENA": "arena_bytes",
    "STACK": "stack_bytes",
    "INSTRUCTIONS": "instructions",
    "CYCLES": "cycles",
}
"""By heading: the figures that matter most."""
_SELDOM = ("cycles",)
"""Those of few boards."""
_VERDICT_COLOURS = {"match": "green", "mismatch": "red", "-": ""}
_INDENT = "  "
_NARROWEST = 40
"""A table is not made narrower than this."""


def shown_figures(records: Sequence[Record]) -> dict[str, str]:
    """The figures that matter most of some records, by heading."""
    return {
        heading: name
        for heading, name in FIGURES.items()
        if name not in _SELDOM or any(name in record.metrics for record in records)
    }


def figure(record: Record, name: str) -> str:
    """A figure of a record as people read it."""
    metric = record.metrics.get(name)
    return f"{metric['value']:,.0f}" if metric else "-"


def milliseconds(record: Record) -> str:
    """The latency of a record, as people read it."""
    latency = record.metrics.get("latency_us")
    return f"{latency['value'] / 1000:,.3f} ms" if latency else "-"
