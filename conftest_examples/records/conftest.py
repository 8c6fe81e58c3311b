"""What a run found out, for other programs.

`--microtvm-json=PATH` writes one file with everything. This hook is for what that does not do:
here, a line per model in a CSV file, which a spreadsheet can plot over time.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

METRICS = ("flash_bytes", "ram_bytes", "arena_bytes", "stack_bytes", "instructions", "latency_us")


def pytest_microtvm_record(config: pytest.Config, record: dict[str, Any]) -> None:
    path = config.rootpath / "history.csv"
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["model", "board", "outcome", *METRICS])
        values = [record["metrics"].get(name, {}).get("value") for name in METRICS]
        writer.writerow([Path(record["model"]).name, record["board"], record["outcome"], *values])
