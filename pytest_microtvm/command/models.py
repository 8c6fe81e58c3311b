"""`microtvm compile`, `check` and `boards`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microtvm.command.parsers import (
    FAILED,
    OK,
    CommandParser,
    add_environment,
    add_memory,
    environment_of,
    memory_of,
    print_json,
)
from pytest_microtvm.errors import ConfigError
from pytest_microtvm.executors import EXECUTORS

if TYPE_CHECKING:
    from pytest_microtvm.boards import Board
    from pytest_microtvm.mlf.library import ModelLibrary

CODE = {
    "c": (("codegen/host/src/", ".c"), ("codegen/host/include/", ".h")),
    "relax": (("src/", ".relax"),),
    "graph": (("executor-config/graph/", ".graph"),),
}
"""By what `--dump-code` takes: where it is in an archive, and the files' suffix."""


def add_commands(commands: Any) -> None:
    """Add the subcommands to the parser of `microtvm`."""
    for name, help_text, fill in (
        ("compile", "compile a model to a Model Library Format (MLF) .tar archive.", _fill_compile),
        ("check", "run a model on a board, and compare it with a reference.", _fill_check),
        (
            "evaluate",
            "score a model on a data set, on a board and here.",
            _fill_evaluate,
        ),
        ("boards", "list the boards there are.", _fill_boards),
    ):
        commands.add_parser(name, help=help_text).fill = fill


def _fill_compile(parser: CommandParser, _given: Sequence[str]) -> None:
    parser.add_argument(
        "models",
        metavar="MODEL",
        type=Path,
        nargs="+",
        help="a model file; several become one archive, and take turns in the same memory.",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the archive to write."
    )
    parser.add_argument(
        "--board", metavar="NAME", help="write kernels for this board's CPU; for every CPU if not."
    )
    add_shapes(parser)
    parser.add_argument(
        "--io-in-arena", action="store_true", help="leave room for inputs and outputs in the arena."
    )
    add_memory(parser)
    parser.add_argument(
        "--external",
        metavar="NAME[=PATH]",
        default="",
        help="take kernels of a library or an accelerator where they can be, with the sources "
        "that they need, a folder or a pack; those that the board names if not given.",
    )
    parser.add_argument(
        "--tuning",
        metavar="FILE",
        help="a tuning log that says how kernels are written, beside the one that comes with the "
        "package for the board's core; 'none' for neither.",
    )
    parser.add_argument(
        "--name",
        help="names the model; the stem of the file's name if not given. Several models have their "
        "own names, and this one names the archive's header.",
    )
    parser.add_argument(
        "--dump-code",
        metavar="FORMATS",
        type=_formats,
        default=(),
        help=f"a comma list of {', '.join(CODE)}: write what the archive holds of it beside it.",
    )
    parser.add_argument("--json", action="store_true", help="print what was made as JSON.")
    add_environment(parser, device=False)
    parser.set_defaults(run=_compile)


def add_shapes(parser: CommandParser) -> None:
    """Add the options that say how a model's file is read."""
    parser.add_argument(
        "--input-shapes",
        metavar="NAME:[SHAPE]",
        nargs="+",
        default=[],
        help="shapes of inputs that the model leaves open, as input:[1,49,10,1].",
    )
    parser.add_argument(
        "--custom-operators",
        metavar="FILE.py",
        nargs="+",
        default=[],
        help="Python files with custom operators of the model.",
    )
    parser.add_argument(
        "--signature", metavar="NAME", help="the signature to compile, of a model with several."
    )


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, text.split(",")))
    for name in names:
        if name not in CODE:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(CODE)}")
    return names


def _compile(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.api.models import compile as compile_model
    from pytest_microtvm.compiler.options import parse_input_shapes

    if len(arguments.models) > 1:
        return _compile_together(arguments)
    library = compile_model(
        arguments.models[0],
        board=arguments.board,
        name=arguments.name,
        io_in_arena=arguments.io_in_arena,
        input_shapes=parse_input_shapes(arguments.input_shapes),
        signature=arguments.signature,
        custom_operators=arguments.custom_operators,
        memory=memory_of(arguments),
        external=arguments.external,
        tuning=arguments.tuning,
        output=arguments.output,
        environment=environment_of(arguments),
    )
    written = [_dump(library, name) for name in arguments.dump_code]
    if arguments.json:
        print_json(_facts(library))
        return OK
    _print_facts(library)
    for path in written:
        print(f"wrote {path}")
    return OK


def _compile_together(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.api.models import compile_together
    from pytest_microtvm.compiler.options import parse_input_shapes

    if arguments.io_in_arena or arguments.dump_code or arguments.external or arguments.tuning:
        raise ConfigError(
            "--io-in-arena, --dump-code, --external and --tuning are for one model",
            cure="leave them out, or compile the models one by one",
        )
    libraries = compile_together(
        arguments.models,
        arguments.output,
        name=arguments.name or arguments.output.stem,
        board=arguments.board,
        input_shapes=parse_input_shapes(arguments.input_shapes),
        memory=memory_of(arguments),
        environment=environment_of(arguments),
    )
    if arguments.json:
        print_json([_facts(library) for library in libraries])
        return OK
    for library in libraries:
        _print_facts(library)
    return OK


def _facts(library: ModelLibrary) -> dict[str, Any]:
    in_float, dead = library.float_operators, library.dead_weights
    return {
        "path": str(library.path),
        "name": library.name,
        "archive_bytes": library.path.stat().st_size,
        "arena_bytes": library.workspace_bytes,
        "constants_bytes": library.constants_bytes,
        "state_bytes": library.state_bytes,
        "pools": [_pool(pool) for pool in library.pools],
        "constant_pools": [_pool(pool) for pool in library.constant_pools],
        "kernels": len(library.kernels),
        "macs": sum(kernel.macs or 0 for kernel in library.kernels),
        "inputs": [_tensor(spec) for spec in library.inputs],
        "outputs": [_tensor(spec) for spec in library.outputs],
        "dead_macs": 0 if dead is None else dead.macs,
        "dead_constants_bytes": 0 if dead is None else dead.constants_bytes,
        "float_operators": [] if in_float is None else list(in_float.operators),
    }


def _tensor(spec: Any) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}


def _pool(spec: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(spec).items() if value is not None}


def _print_facts(library: ModelLibrary) -> None:
    facts = _facts(library)
    print(f"{library.path}: {facts['archive_bytes']:,} bytes, model {library.name}")
    for kind in ("inputs", "outputs"):
        for tensor in facts[kind]:
            shape = ", ".join(map(str, tensor["shape"]))
            print(f"  {kind[:-1]} {tensor['name']}: {tensor['dtype']}[{shape}]")
    print(f"  arena {library.workspace_bytes:,} bytes, constants {library.constants_bytes:,} bytes")
    if library.states:
        print(f"  state {library.state_bytes:,} bytes, kept from run to run")
    if len(library.pools) > 1 or library.constant_pools:
        for pool in library.pools:
            print(f"  pool {pool}")
        for pool in library.constant_pools:
            print(f"  constant pool {pool}")
    print(f"  {facts['kernels']} kernels, {facts['macs']:,} multiplications with accumulation")
    if library.dead_weights is not None:
        print(f"  {library.dead_weights}")
    if library.float_operators is not None:
        print(f"  {library.float_operators}")


def _dump(library: ModelLibrary, name: str) -> Path:
    """Write one kind of code of an archive into a file beside it, as `tvmc` does."""
    import tarfile

    target = library.path.with_name(f"{library.path.name}.{name}")
    parts = []
    with tarfile.open(library.path) as archive:
        for folder, suffix in CODE[name]:
            for member in sorted(archive.getnames()):
                if member.startswith(folder) and member.endswith(suffix):
                    file = archive.extractfile(member)
                    assert file is not None
                    heading = f"/* {member} */\n" if name == "c" else ""
                    parts.append(heading + file.read().decode("utf-8"))
    try:
        target.write_text("\n".join(parts), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _fill_check(parser: CommandParser, _given: Sequence[str]) -> None:
    from pytest_microtvm.verify.references import HOST, REFERENCES

    parser.add_argument("model", metavar="MODEL", type=Path, help="a model file, or an archive.")
    parser.add_argument("--board", required=True, metavar="NAME", help="the board to run it on.")
    parser.add_argument("--platform", metavar="NAME", help="the platform that makes its firmware.")
    parser.add_argument("--executor", choices=EXECUTORS, default=EXECUTORS[0])
    parser.add_argument("-i", "--inputs", type=Path, help="path to the .npz input file")
    parser.add_argument(
        "--reference",
        default=HOST,
        metavar="NAME",
        help=f"compare with {', '.join(REFERENCES)} or an .npz file of outputs (default: host)",
    )
    add_shapes(parser)
    add_memory(parser)
    parser.add_argument("--rtol", type=float, default=1e-5, help="relative tolerance for floats")
    parser.add_argument("--atol", type=float, default=1e-6, help="absolute tolerance for floats")
    parser.add_argument(
        "--equal-nan", action="store_true", help="a NaN is right where the reference has one"
    )
    parser.add_argument("--layers", action="store_true", help="show the instructions by kernel")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    add_environment(parser)
    parser.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.api.checking import check
    from pytest_microtvm.compiler.options import parse_input_shapes

    if not arguments.model.is_file():
        raise ConfigError(f"there is no model {arguments.model}", cure="check the path")
    verdict = check(
        arguments.model,
        board=arguments.board,
        platform=arguments.platform,
        executor=arguments.executor,
        inputs=arguments.inputs,
        input_shapes=parse_input_shapes(arguments.input_shapes),
        signature=arguments.signature,
        custom_operators=arguments.custom_operators,
        memory=memory_of(arguments),
        reference=arguments.reference,
        rtol=arguments.rtol,
        atol=arguments.atol,
        equal_nan=arguments.equal_nan,
        environment=environment_of(arguments),
    )
    if arguments.json:
        print_json(verdict.record.to_json())
    else:
        print(verdict.report(verbose=arguments.verbose, layers=arguments.layers))
    return OK if verdict.passed else FAILED


def _fill_evaluate(parser: CommandParser, _given: Sequence[str]) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="a model file, or an archive.")
    parser.add_argument("--board", required=True, metavar="NAME", help="the board to run it on.")
    parser.add_argument("--platform", metavar="NAME", help="the platform that makes its firmware.")
    parser.add_argument("--executor", choices=EXECUTORS, default=EXECUTORS[0])
    parser.add_argument(
        "-i",
        "--inputs",
        type=Path,
        required=True,
        metavar="FILE",
        help="an .npz file: by input, an array with one row for each sample.",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        required=True,
        metavar="FILE",
        help="an .npy file: the number of each sample's class, or the outputs that are right.",
    )
    parser.add_argument(
        "--metric",
        choices=("accuracy", "top5", "auc", "mse"),
        default="accuracy",
        help="what to compute. Defaults to 'accuracy'",
    )
    parser.add_argument("--output", metavar="NAME", help="the output to score; the first if not.")
    add_shapes(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON.")
    add_environment(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.api.evaluation import evaluate
    from pytest_microtvm.compiler.options import parse_input_shapes

    for path in (arguments.model, arguments.inputs, arguments.labels):
        if not path.is_file():
            raise ConfigError(f"there is no file {path}", cure="check the path")
    found = evaluate(
        arguments.model,
        arguments.inputs,
        arguments.labels,
        board=arguments.board,
        platform=arguments.platform,
        executor=arguments.executor,
        metric=arguments.metric,
        output=arguments.output,
        input_shapes=parse_input_shapes(arguments.input_shapes),
        signature=arguments.signature,
        custom_operators=arguments.custom_operators,
        environment=environment_of(arguments),
    )
    if arguments.json:
        print_json(vars(found))
        return OK
    print(f"{found.metric} of {found.samples} samples")
    print(f"  on {arguments.board}: {found.device:.6g}")
    print(f"  on this computer: {found.host:.6g}")
    print(f"  samples whose outputs differ: {found.differing}")
    return OK


def _fill_boards(parser: CommandParser, _given: Sequence[str]) -> None:
    parser.add_argument(
        "patterns",
        nargs="*",
        metavar="PATTERN",
        help="only these: names, globs, tags such as arch:arm, or 'emulated'.",
    )
    parser.add_argument("--json", action="store_true", help="print the definitions as JSON.")
    add_environment(parser, device=False)
    parser.set_defaults(run=_boards)


def _boards(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.boards.selection import matches
    from pytest_microtvm.report.tables import board_table

    environment = environment_of(arguments)
    every = environment.boards()
    found = select(every, arguments.patterns, matches)
    if arguments.json:
        print_json([_definition(board) for board in found.values()])
        return OK
    for line in board_table(found, environment.readiness(found.values())):
        print(line)
    return OK


def select(
    boards: dict[str, Board],
    patterns: Iterable[str],
    matches: Callable[[Board, str], bool],
) -> dict[str, Board]:
    """The boards that patterns mean, in the order of all; all without a pattern.

    Raises:
        ConfigError: A pattern means none.
    """
    wanted = list(patterns)
    for pattern in wanted:
        if not any(matches(board, pattern) for board in boards.values()):
            raise ConfigError(f"no board is {pattern!r}", cure="microtvm boards lists all")
    return {
        name: board
        for name, board in boards.items()
        if not wanted or any(matches(board, pattern) for pattern in wanted)
    }


def _definition(board: Board) -> dict[str, Any]:
    return {
        "name": board.name,
        "platforms": list(board.platforms),
        "arch": board.cpu.arch,
        "core": board.cpu.core,
        "description": board.description,
        "flash_bytes": board.memory_bytes("flash"),
        "ram_bytes": board.memory_bytes("ram"),
        "emulator": None if board.emulator is None else board.emulator.program,
        "flash_method": None if board.flash is None else board.flash.method,
    }
