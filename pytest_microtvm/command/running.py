"""`microtvm run`: a built project's model on its device."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microtvm.command.parsers import CommandParser, print_json, tell
from pytest_microtvm.command.projects import (
    add_project_options,
    project_and_options,
    require_build,
)
from pytest_microtvm.errors import ConfigError, TransportClosed
from pytest_microtvm.project.server.project_types import HOST_DRIVEN, STANDALONE

if TYPE_CHECKING:
    from pytest_microtvm.api.device import Device
    from pytest_microtvm.api.projects import Project
    from pytest_microtvm.mlf.library import ModelLibrary, TensorSpec
    from pytest_microtvm.verify.inputs import Tensors

DONE = "done"
"""The last line of a standalone program."""
READY = "m-ready"
"""The last line that a device under test of MLPerf Tiny says by itself."""
FILL_MODES = ("zeros", "ones", "random")
_TIME_COLUMNS = ("mean", "median", "max", "min", "std")


def add_commands(commands: Any) -> None:
    """Add the subcommand to the parser of `microtvm`."""
    commands.add_parser("run", help="run a model on the device of its project.").fill = _fill


def _fill(parser: CommandParser, _given: Sequence[str]) -> None:
    parser.add_argument(
        "project_dir", metavar="PROJECT_DIR", type=Path, help="path to the project directory."
    )
    parser.add_argument(
        "--device",
        choices=["micro"],
        default="micro",
        help="target device to run the model on. Defaults to 'micro'",
    )
    add_inputs(parser)
    parser.add_argument("-o", "--outputs", type=Path, help="path to the .npz output file")
    parser.add_argument(
        "--print-time", action="store_true", help="record and print the execution time(s)"
    )
    parser.add_argument(
        "--print-top",
        type=_count,
        metavar="N",
        help="print the top n values and indices of the output tensor",
    )
    parser.add_argument(
        "--profile", action="store_true", help="print where the instructions of each kernel go"
    )
    for name, what in (("repeat", "repeat the measurement n times"), ("number", "runs in each")):
        parser.add_argument(
            f"--{name}", type=_count, default=1, metavar="N", help=f"{what}. Defaults to '1'"
        )
    parser.add_argument(
        "--rpc-tracker", metavar="HOST:PORT", help="reach the board through this RPC tracker"
    )
    parser.add_argument("--rpc-key", metavar="KEY", help="what to ask the RPC tracker for")
    parser.add_argument("--json", action="store_true", help="print results as JSON")
    add_project_options(parser, "open_transport", "--options")
    parser.set_defaults(run=_run)


def add_inputs(parser: CommandParser) -> None:
    """Add the options that say what a model is given."""
    parser.add_argument(
        "--fill-mode",
        choices=FILL_MODES,
        default="random",
        help="fill all input tensors with values. In case --inputs/-i is provided, they will take "
        "precedence over --fill-mode. Any remaining inputs will be filled using the chosen fill "
        "mode. Defaults to 'random'",
    )
    parser.add_argument("--seed", type=int, help="makes other random inputs")
    parser.add_argument("-i", "--inputs", type=Path, help="path to the .npz input file")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _run(arguments: argparse.Namespace) -> int:
    project, values = project_and_options(arguments)
    if project is None:
        return 0
    require_build(project)
    if project.project_type != HOST_DRIVEN:
        return _show(arguments, project, values)
    given = make_given_inputs(arguments, project.library)
    with _open(arguments, project, values) as device:
        outputs, times_s = _measure(device, given, arguments.repeat, arguments.number)
        metrics = device.metrics
        board = device.board
    if arguments.outputs is not None:
        _write(arguments.outputs, outputs)
    if arguments.json:
        _print_json(arguments, board, outputs, times_s, metrics)
        return 0
    if arguments.profile:
        print(_profile(project, metrics))
    if arguments.print_top:
        _print_top(outputs, arguments.print_top)
    if arguments.print_time:
        print(time_table(times_s))
    if not (arguments.outputs or arguments.profile or arguments.print_top or arguments.print_time):
        tell(f"{project.library.name} ran on {board}; --print-top, --print-time and -o show more")
    return 0


def _show(arguments: argparse.Namespace, project: Project, values: dict[str, Any]) -> int:
    """Print what a program without the RPC server says, until it is done."""
    if arguments.json or arguments.outputs or arguments.profile or arguments.rpc_tracker:
        raise ConfigError(
            f"a project of type {project.project_type} only prints",
            cure="leave out --json, --outputs, --profile and --rpc-tracker",
        )
    last = DONE if project.project_type == STANDALONE else READY
    with project.open_console(**values) as console:
        while (line := console.read_line(arguments.timeout)) is not None:
            print(line, flush=True)
            if line == last:
                return 0
    raise TransportClosed(f"{project.library.name} ended before it was done")


def _open(arguments: argparse.Namespace, project: Project, values: dict[str, Any]) -> Device:
    """The device of this machine, or the one that was asked for.

    Raises:
        ConfigError: The options contradict each other.
        MicroTVMError: It cannot be opened.
    """
    if arguments.rpc_tracker is None and arguments.rpc_key is None:
        return project.open(**values)
    if arguments.rpc_tracker is None or arguments.rpc_key is None:
        raise ConfigError(
            "--rpc-tracker and --rpc-key go together", cure="give both of them, or neither"
        )
    if values or arguments.profile:
        raise ConfigError(
            "--options and --profile are for devices of this machine",
            cure="leave them out: microtvm serve takes the options of the device that it offers",
        )
    return project.open_remote(arguments.rpc_tracker, arguments.rpc_key)


@dataclass(frozen=True)
class GivenInputs:
    """What a model is given.

    Attributes:
        tensors: One array per input.
        is_sequence: Whether these have the steps as first dimension, of a model with states.
    """

    tensors: Tensors
    is_sequence: bool = False

    def run_on(self, device: Device) -> Tensors:
        """Run the model once, or the whole sequence; from its initial state on."""
        if self.is_sequence:
            return device.run_sequence(self.tensors)
        device.reset()
        return device.run(self.tensors)


def make_given_inputs(arguments: argparse.Namespace, library: ModelLibrary) -> GivenInputs:
    """The inputs of the file that was named, and others filled in.

    Raises:
        ConfigError: The file cannot be used.
    """
    from pytest_microtvm.verify.inputs import check_inputs, load_arrays
    from pytest_microtvm.verify.sequences import check_sequence, has_steps, with_steps

    specs = library.inputs
    if arguments.inputs is None:
        return GivenInputs(_filled(arguments, library.name, specs))
    if not arguments.inputs.is_file():
        raise ConfigError(f"there is no file {arguments.inputs}", cure="check --inputs")
    given = load_arrays(arguments.inputs)
    aliases = {spec.signature_name: spec.name for spec in specs if spec.signature_name}
    named = {aliases.get(name, name): array for name, array in given.items()}
    source = str(arguments.inputs)
    if not library.states or not has_steps(named, specs):
        filled = _filled(arguments, library.name, specs)
        return GivenInputs(check_inputs({**filled, **named}, specs, source))
    steps = max(len(array) for array in named.values() if array.ndim)
    filled = _filled(arguments, library.name, with_steps(specs, steps))
    return GivenInputs(check_sequence({**filled, **named}, specs, source), is_sequence=True)


def _filled(arguments: argparse.Namespace, name: str, specs: Sequence[TensorSpec]) -> Tensors:
    import numpy as np

    from pytest_microtvm.verify.inputs import make_inputs

    if arguments.fill_mode == "random":
        seed = "" if arguments.seed is None else f"#{arguments.seed}"
        return make_inputs(name + seed, specs)
    fill = np.zeros if arguments.fill_mode == "zeros" else np.ones
    return {spec.name: fill(spec.shape, np.dtype(spec.dtype)) for spec in specs}


def _measure(
    device: Device, given: GivenInputs, repeat: int, number: int
) -> tuple[Tensors, list[float]]:
    """Run the model; for each repetition, the seconds of a run as the mean of `number`."""
    times_s = []
    for _ in range(repeat):
        seconds = 0.0
        for _ in range(number):
            outputs = given.run_on(device)
            seconds += device.run_s or 0.0
        times_s.append(seconds / number)
    return outputs, times_s


def _write(path: Path, outputs: Tensors) -> None:
    import numpy as np

    try:
        with path.open("wb") as file:
            np.savez(file, **outputs)  # type: ignore[arg-type]
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error


def top_of(array: Any, count: int) -> Any:
    """The indices of the largest values of an array and these values, as two rows."""
    import numpy as np

    flat = np.asarray(array).reshape(-1)
    order = np.argsort(flat, kind="stable")[::-1][:count]
    return np.array([order, flat[order]])


def _print_top(outputs: Tensors, count: int) -> None:
    for name, array in outputs.items():
        if len(outputs) > 1:
            print(f"{name}:")
        print(top_of(array, count))


def time_table(times_s: Sequence[float]) -> str:
    """The times of some measurements, as TVM lays its benchmark results out."""
    figures_s = (
        statistics.fmean(times_s),
        statistics.median(times_s),
        max(times_s),
        min(times_s),
        statistics.pstdev(times_s),
    )
    heading = " ".join(f"{f'{name} (ms)':^12}" for name in _TIME_COLUMNS)
    values = " ".join(f"{seconds * 1000:^12.4f}" for seconds in figures_s)
    return f"Execution time summary:\n{heading}\n{values}"


def _profile(project: Any, metrics: Any) -> str:
    from pytest_microtvm.measure.records import Record
    from pytest_microtvm.report.layers import layer_table

    record = Record(project.library.name, project.board.label, project.platform, project.executor)
    record.add_metrics(metrics)
    return "\n".join(layer_table(record, project.library.name))


def _print_json(
    arguments: argparse.Namespace, board: str, outputs: Tensors, times_s: list[float], metrics: Any
) -> None:
    document: dict[str, Any] = {
        "board": board,
        "times_s": times_s,
        "metrics": {name: dict(vars(metric)) for name, metric in metrics.items()},
        "outputs": {
            name: {"shape": list(array.shape), "dtype": str(array.dtype)}
            for name, array in outputs.items()
        },
    }
    if arguments.print_top:
        for name, array in outputs.items():
            indices, values = top_of(array, arguments.print_top).tolist()
            document["outputs"][name]["top"] = {"indices": indices, "values": values}
    print_json(document)
