"""`microtvm tune`: how a model's kernels are written best for a core, measured on a board."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microtvm.command.models import add_shapes
from pytest_microtvm.command.parsers import (
    INTERRUPTED,
    OK,
    CommandParser,
    add_environment,
    environment_of,
    print_json,
)

if TYPE_CHECKING:
    from pytest_microtvm.flow.tuning import Tuned


def add_commands(commands: Any) -> None:
    """Add the subcommand to the parser of `microtvm`."""
    commands.add_parser(
        "tune", help="measure on a board how the kernels of a model are written best."
    ).fill = _fill


def _fill(parser: CommandParser, _given: Sequence[str]) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="a model file.")
    parser.add_argument("--board", required=True, metavar="NAME", help="the board to measure on.")
    parser.add_argument("--platform", metavar="NAME", help="the platform that makes its firmware.")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("tuning.jsonl"),
        metavar="FILE",
        help="the tuning log, which gets more records if it is there. Defaults to 'tuning.jsonl'",
    )
    parser.add_argument(
        "--growth",
        type=_bytes,
        metavar="BYTES",
        help="by how much the code of the kernels may grow; 2 %% of code and constants if not "
        "given, and 1,200 bytes at least.",
    )
    add_shapes(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON.")
    add_environment(parser)
    parser.set_defaults(run=_tune, tell_steps=True)


def _bytes(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _tune(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.api.tuning import tune
    from pytest_microtvm.compiler.options import parse_input_shapes

    found = tune(
        arguments.model,
        arguments.output,
        board=arguments.board,
        platform=arguments.platform,
        input_shapes=parse_input_shapes(arguments.input_shapes),
        signature=arguments.signature,
        custom_operators=arguments.custom_operators,
        growth_bytes=arguments.growth,
        environment=environment_of(arguments),
    )
    if arguments.json:
        print_json(_document(found))
    else:
        for line in _lines(found, arguments.output):
            print(line)
    return INTERRUPTED if found.was_interrupted else OK


def _document(found: Tuned) -> dict[str, Any]:
    import json

    return {
        "metric": found.metric,
        "untuned": found.untuned,
        "tuned": found.tuned,
        "growth_bytes": found.growth_bytes,
        "was_interrupted": found.was_interrupted,
        "records": [json.loads(record.to_line()) for record in found.records],
    }


def _lines(found: Tuned, log: Path) -> list[str]:
    from pytest_microtvm.report.layout import format_table

    rows = [("KERNEL", "OUTPUT", "UNTUNED", "TUNED", "CODE", "CHOICE")]
    for record in found.records:
        growth = record.code_bytes - record.untuned_code_bytes
        rows.append(
            (
                record.key.kernel,
                "x".join(map(str, record.key.workload.output_shape)),
                f"{record.untuned_cost:,}",
                f"{record.cost:,}",
                f"{growth:+,}" if growth else "",
                ", ".join(f"{name} {value}" for name, value in record.choice.items()),
            )
        )
    lines = format_table(rows, lambda column: column in (2, 3, 4))
    metric = found.metric.replace("_", " ")
    if found.tuned is None:
        lines.append("interrupted: of what was measured by then, the best is in the log")
    else:
        change = (found.tuned / found.untuned - 1) * 100
        lines.append(
            f"an inference: {found.untuned:,.0f} {metric} untuned, {found.tuned:,.0f} tuned, "
            f"{change:+.1f} %; code {found.growth_bytes:+,} bytes"
        )
    count = len(found.records)
    lines.append(f"{count} record is in {log}" if count == 1 else f"{count} records are in {log}")
    return lines
