"""Every model of a folder, compiled and held to its own interpreter: does it work here?

TFLite models are compared with LiteRT, ONNX models with onnxruntime, programs of torch.export with
PyTorch, on this machine and with made inputs. The table says for each model: exact, within
tolerance, how far off, or why it is refused.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from pathlib import Path

from pytest_microtvm.boards import Board, load_boards
from pytest_microtvm.errors import MicroTVMError, ModelError, OutputMismatch
from pytest_microtvm.flow.harness import Harness
from pytest_microtvm.flow.opening import open_harness
from pytest_microtvm.model_files import is_surely_model
from pytest_microtvm.verify.model_check import EXACT, NOT_CHECKED, WITHIN

_EXECUTOR = "aot"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare `scripts/bench zoo`."""
    parser = commands.add_parser("zoo", help="each model of a folder against its interpreter")
    parser.add_argument("folder", type=Path, help="is searched for models, its folders too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compile and compare; 0 when no model differs."""
    folder: Path = arguments.folder
    models = sorted(path for path in folder.rglob("*") if path.is_file() and is_surely_model(path))
    if not models:
        print(f"there are no models in {folder}")
        return 1
    counts: Counter[str] = Counter()
    told: list[str] = []
    with open_harness(detail=told.append) as harness, warnings.catch_warnings():
        # What falls back to float is in the table.
        warnings.simplefilter("ignore")
        board = load_boards()["host"]
        for model in models:
            kind, text = _verdict(harness, model, board, told)
            counts[kind] += 1
            print(f"{kind:12} {model.relative_to(folder)}  {text}".rstrip(), flush=True)
    total = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    print(f"{len(models)} models: {total}")
    return 1 if counts["differs"] else 0


def _verdict(harness: Harness, model: Path, board: Board, told: list[str]) -> tuple[str, str]:
    """What came of a model, in a word and in a line.

    Args:
        harness: Compiles and compares.
        model: The file.
        board: This machine.
        told: What went on so far, the latest last; the reason of a missing check is there.
    """
    record = harness.record(model, board, _EXECUTOR)
    try:
        library = harness.compile(model, board, record).library
    except ModelError as error:
        return "refused", error.one_line()
    except MicroTVMError as error:
        return "error", error.one_line()
    in_float = f"  ({library.float_operators})" if library.float_operators else ""
    try:
        harness.check_model(model, library, record)
    except OutputMismatch as error:
        # How far, how much of each output, and the first layer; not each element.
        lines = [line.strip() for line in str(error).splitlines() if not line.startswith("    ")]
        return "differs", "; ".join(lines[:-1])
    except MicroTVMError as error:
        return "error", error.one_line()
    status = record.model_check or NOT_CHECKED
    if status == NOT_CHECKED:
        return "not checked", (told[-1] if told else "") + in_float
    return {EXACT: "exact", WITHIN: "within"}[status], in_float
