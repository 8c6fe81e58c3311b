"""The columns of the HTML page's table of results."""

from __future__ import annotations

from typing import Any

from pytest_microtvm.measure.records import Record
from pytest_microtvm.report.html.rows import columns_of, rows_of


def record(executor: str, **metrics: Any) -> dict[str, Any]:
    made = Record("net.tflite", "board", "baremetal", executor).to_json()
    return {**made, "metrics": metrics}


def test_cycles_have_a_column_where_some_board_counts_them() -> None:
    plain_one = record("aot")
    counted = record(
        "graph", cycles={"value": 3456, "unit": "cycles", "source": "DWT", "samples": 1}
    )
    assert "Cycles" not in dict(columns_of(rows_of([plain_one])))
    rows = rows_of([plain_one, counted])
    titles = [title for title, _ in columns_of(rows)]
    assert dict(columns_of(rows))["Cycles"]
    shown = [row.cells[titles.index("Cycles")] for row in rows]
    assert [(cell.text, cell.value) for cell in shown] == [("-", None), ("3,456", 3456)]
    assert all(len(row.cells) == len(titles) for row in rows)
