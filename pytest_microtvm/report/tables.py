"""What a run prints for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_microtvm.compiler.naming import sanitize

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.measure.records import Record


def board_table(boards: dict[str, Board]) -> Iterator[str]:
    """The known boards, a line each."""
    rows = [
        (b.name, ", ".join(b.platforms), b.cpu.core or b.cpu.arch, b.description)
        for b in boards.values()
    ]
    rows.insert(0, ("BOARD", "PLATFORM", "CPU", "DESCRIPTION"))
    yield from format_table(rows)


def format_table(
    rows: Sequence[Sequence[str]], right: Callable[[int], bool] = lambda column: False
) -> list[str]:
    """Align columns; `right` tells which ones are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if right(index) else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def run_report(records: Sequence[Record], *, verbose: bool, layers: bool) -> Iterator[str]:
    """What a run came to.

    Args:
        records: Of the run.
        verbose: Tell where flash and RAM go, and why figures are absent.
        layers: Tell where the instructions of each model go.
    """
    yield from verdict_table(records)
    tables = [skipped_records(records), float_operators(records)]
    if verbose:
        tables += [size_table(records, "flash"), size_table(records, "ram")]
        tables.append(absent_figures(records))
    if layers:
        names = _short_names(records)
        tables += [layer_table(record, names[record.model]) for record in records]
    for table in filter(None, tables):
        yield from ("", *table)


def verdict_table(records: Sequence[Record]) -> list[str]:
    """The verdicts and metrics of a run, a line each."""
    headings = [*_SUBJECT, "VERDICT", "CHECK", "MISMATCHED", "FLASH", "RAM", "ARENA", "STACK"]
    headings += ["INSTRUCTIONS", "LATENCY"]
    names = _short_names(records)
    rows = [
        [
            *_subject(record, names),
            record.outcome,
            "-" if record.model_check == "not checked" else record.model_check,
            f"{record.mismatched:,} of {record.elements:,}" if record.elements else "-",
            *_figures(record, "flash_bytes", "ram_bytes", "arena_bytes", "stack_bytes"),
            *_figures(record, "instructions"),
            _milliseconds(record),
        ]
        for record in records
    ]
    return format_table([headings, *rows], right=lambda column: column > 4)


def size_table(records: Sequence[Record], kind: str) -> list[str]:
    """Where the flash or the RAM goes, a line for each record that knows; nothing if none does.

    Args:
        records: Of a run.
        kind: "flash" or "ram".
    """
    prefix, suffix = f"{kind}_", "_bytes"
    known = [record for record in records if f"{kind}{suffix}" in record.metrics]
    if not known:
        return []
    names = [
        name
        for name in dict.fromkeys(name for record in known for name in record.metrics)
        if name.startswith(prefix)
        and name != f"{kind}{suffix}"
        and any(record.metrics.get(name, {}).get("value") for record in known)
    ]
    parts = [name.removeprefix(prefix).removesuffix(suffix).upper() for name in names]
    models = _short_names(records)
    rows = [
        [*_subject(record, models), *_figures(record, f"{kind}{suffix}", *names)]
        for record in known
    ]
    headings = [*_SUBJECT, kind.upper(), *parts]
    return format_table([headings, *rows], right=lambda column: column > 2)


def skipped_records(records: Sequence[Record]) -> list[str]:
    """What was not run and why, a line for each: what a model needs, and what the board has."""
    names = _short_names(records)
    return [
        f"{names[record.model]} ({record.executor}) was skipped: {record.error}"
        for record in records
        if record.outcome == "skipped" and record.error
    ]


def float_operators(records: Sequence[Record]) -> list[str]:
    """What operators without an integer kernel cost quantized models, a line for each record."""
    lines = []
    names = _short_names(records)
    for record in records:
        if "float_instructions" not in record.metrics:
            continue
        part, total = (
            int(record.metrics[name]["value"]) for name in ("float_instructions", "instructions")
        )
        model, board, executor = _subject(record, names)
        lines.append(
            f"{model} on {board}, {executor}: {part:,} of {total:,} instructions are those of "
            "operators in float32, which have no integer kernel"
        )
    return lines


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


def layer_table(record: Record, name: str) -> list[str]:
    """Where the instructions of a model go, a line for each call of a kernel.

    Args:
        record: Of the model.
        name: What the table calls the model.
    """
    title = f"{name} on {record.board}, {record.executor}"
    if not record.layers:
        return [f"{title}: {record.absent.get('instructions', 'it was not run')}"]
    total = int(record.metrics["instructions"]["value"])
    own = total - sum(layer["instructions"] for layer in record.layers)
    prefix = f"tvmgen_{sanitize(Path(record.model).stem, 'model')}_"
    rows = [("KERNEL", "INSTRUCTIONS", "SHARE", "MACS", "PER MAC", "WORKSPACE", "")]
    for layer in record.layers:
        macs, per_mac = layer["macs"], layer["instructions_per_mac"]
        rows.append(
            (
                layer["kernel"].removeprefix(prefix),
                *_share(layer["instructions"], total),
                "-" if macs is None else f"{macs:,}",
                "-" if per_mac is None else f"{per_mac:,.2f}",
                f"{layer['workspace_bytes']:,}",
                "#" * round(_BAR * layer["instructions"] / total),
            )
        )
    rows.append(("(executor)", *_share(own, total), "-", "-", "-", ""))
    lines = format_table(rows, right=lambda column: 0 < column < 6)
    return [f"{title}: {total:,} instructions", *(f"  {line}" for line in lines)]


_SUBJECT = ("MODEL", "BOARD", "EXECUTOR")
_BAR = 40
"""Characters of a bar that stands for all instructions."""


def _subject(record: Record, names: Mapping[str, str]) -> tuple[str, str, str]:
    return (names[record.model], record.board, record.executor)


def _short_names(records: Iterable[Record]) -> dict[str, str]:
    """By the path of a model: its name, after as many folders as tell it from the others."""
    parts = {record.model: Path(record.model).parts for record in records}
    names = {}
    for model, own in parts.items():
        others = [other for path, other in parts.items() if path != model]
        count = 1
        while count < len(own) and any(other[-count:] == own[-count:] for other in others):
            count += 1
        names[model] = Path(*own[-count:]).as_posix()
    return names


def _figures(record: Record, *names: str) -> list[str]:
    found = [record.metrics.get(name) for name in names]
    return [f"{metric['value']:,.0f}" if metric else "-" for metric in found]


def _milliseconds(record: Record) -> str:
    latency = record.metrics.get("latency_us")
    return f"{latency['value'] / 1000:,.3f} ms" if latency else "-"


def _share(instructions: int, total: int) -> tuple[str, str]:
    return f"{instructions:,}", f"{instructions / total:.1%}"
