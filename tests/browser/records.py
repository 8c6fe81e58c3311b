"""Records of a run with many boards, as large as real ones, made up."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_microtvm.report.html.run import TestOutcome
from pytest_microtvm.verify.pictures import draw

BOARDS = (
    "qemu_x86",
    "host",
    "mps2_an385",
    "mps2_an386",
    "mps2_an500",
    "mps2_an505",
    "mps2_an521",
    "mps3_an547",
    "netduinoplus2",
    "lm3s6965evb",
    "microbit",
    "qemu_riscv32",
    "qemu_riscv64",
    "sifive_e",
)
MODELS = {"models/ad.tflite": 10, "models/ic.tflite": 16, "models/kws.tflite": 13}
MODELS["models/vww.tflite"] = 31  # by the number of layers
EXECUTORS = ("aot", "graph")

FAILED = ("models/kws.tflite", "mps2_an386", "aot")
BROKEN = ("models/ic.tflite", "microbit", "graph")
MESSAGE = "device differs from the host reference in 12 of 96 elements"
PLANTED = "</script><script>window.planted = true</script>"
"""What a log may hold, and must do nothing."""


def records() -> list[dict[str, Any]]:
    """Of 14 boards, 4 models and 2 executors, as `Record.to_json` gives them."""
    return [
        _record(model, board, executor)
        for model in MODELS
        for board in BOARDS
        for executor in EXECUTORS
    ]


def outcomes_of(all_records: list[dict[str, Any]]) -> list[TestOutcome]:
    """What came of the tests of records."""
    return [
        TestOutcome(
            test["id"],
            test["outcome"],
            0.25,
            f"{MESSAGE}\n  output 'scores'" if test["outcome"] in ("failed", "error") else "",
            f"[{record['board']}] ready {PLANTED}\n",
            f"pytest '{test['id']}' --microtvm-board={record['board']}",
        )
        for record in all_records
        for test in record["tests"]
    ]


def _record(model: str, board: str, executor: str) -> dict[str, Any]:
    key = (model, board, executor)
    outcome = {FAILED: "failed", BROKEN: "error"}.get(key, "passed")
    error = MESSAGE if outcome != "passed" else None
    layers, arena = _layers(model, BOARDS.index(board))
    instructions = sum(layer["instructions"] for layer in layers)
    counted = board != "host"
    figures = {
        "flash_bytes": 90_000 + 10 * BOARDS.index(board),
        "flash_constants_bytes": 50_000,
        "flash_kernels_bytes": 20_000,
        "flash_runtime_bytes": 15_000,
        "flash_other_bytes": 5_000,
        "ram_bytes": 60_000,
        "ram_arena_bytes": 22_000,
        "ram_io_bytes": 2_000,
        "ram_stack_bytes": 16_000,
        "ram_runtime_bytes": 20_000,
        "arena_bytes": 22_000,
        "io_bytes": 500,
        "constants_bytes": 49_000,
        **({"instructions": instructions + 90} if counted else {}),
        "latency_us": 1234.567,
    }
    return {
        "model": model,
        "board": board,
        "platform": "host" if board == "host" else "baremetal",
        "executor": executor,
        "reference": "host",
        "verdict": {"failed": "mismatch", "passed": "match"}.get(outcome),
        "outcome": outcome,
        "error": error,
        "tests": [
            {
                "id": f"{model}::{executor}[{board}]",
                "outcome": outcome,
                "error": error,
            }
        ],
        "elements": 0 if outcome == "error" else 96,
        "mismatched": 12 if outcome == "failed" else 0,
        "max_abs_diff": {"failed": "inf", "passed": 0.0}.get(outcome),
        "build_id": "0123456789abcdef0123456789abcdef",
        "cached": {"mlf": True, "firmware": False},
        "timings_s": {
            "compile": 1.0, "generate": 0.1, "build": 3.0, "lease": 0.0, "flash": 0.0, "open": 0.4,
            "run": 0.2, "close": 0.1,
        },
        "metrics": {
            name: {"value": value, "unit": "bytes", "source": "ELF loaded sections", "samples": 1}
            for name, value in figures.items()
        },
        "absent": {} if counted else {"instructions": "only an emulator counts instructions"},
        "layers": layers if counted else [],
        "model_check": "exact",
        "lab_boards": [],
        "incidents": [],
        "board_bytes": {} if board == "host" else {"flash": 1 << 20, "ram": 1 << 18},
        "arena": arena,
        "pictures": [_picture()] if outcome == "failed" else [],
    }  # fmt: skip


def _layers(model: str, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    stem = model.partition("/")[2].partition(".")[0]
    layers, calls, blocks = [], [], []
    for at in range(MODELS[model]):
        kernel = f"tvmgen_{stem}_depthwise_conv2d_{at}"
        macs, size = 40_000 // (at + 1), 8_000 // (at + 1)
        layers.append(
            {
                "kernel": kernel,
                "instructions": macs * 2 + 100 * seed,
                "macs": macs,
                "instructions_per_mac": 2.0,
                "workspace_bytes": 128,
            }
        )
        calls.append({"kernel": kernel, "tensor_bytes": size * 2, "live_bytes": size * 2})
        place = {"offset_bytes": (at % 2) * 11_000, "size_bytes": size, "first": at}
        last = min(at + 1, MODELS[model] - 1)
        blocks.append({"name": kernel, "kind": "tensor", **place, "last": last})
    return layers, {"calls": calls, "blocks": blocks}


def _picture() -> dict[str, Any]:
    random = np.random.default_rng(7)
    reference = random.integers(-100, 100, (1, 40, 40, 4)).astype(np.int8)
    device = reference + (random.random(reference.shape) < 0.1) * np.int8(5)
    return draw("scores", device, reference, device != reference).to_data()
