"""`microtvm create-project`, `build` and `flash`: a firmware project, step by step.

Each takes PLATFORM last, and what that platform offers after it. Only the platform that was chosen
is asked for its options; without one, the project's own server is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_microtvm.command.parsers import (
    CommandParser,
    add_environment,
    add_memory,
    answers_directory,
    environment_of,
    memory_of,
    tell,
)
from pytest_microtvm.command.platform_options import MethodOptions
from pytest_microtvm.errors import ConfigError

if TYPE_CHECKING:
    from pytest_microtvm.api.projects import Project
    from pytest_microtvm.project.queries import KnownOptions

TEMPLATE = "template"
_QUERY_TIMEOUT_S = 30.0
_FILLED_IN = ("board_definition",)
"""Options of our platforms that are known from the board."""
_PLATFORMS_HELP = (
    "you must select a platform from the list. You can pass '-h' for a selected platform to list "
    "its options."
)
_OWN_PLATFORM_HELP = (
    "the project's own platform unless one is selected. You can pass '-h' for a selected platform "
    "to list its options."
)


def add_commands(commands: Any) -> None:
    """Add the subcommands to the parser of `microtvm`."""
    for name, aliases, help_text, fill in (
        (
            "create-project",
            ["create"],
            "create a project template of a given type or given a template dir.",
            _fill_create,
        ),
        (
            "build",
            [],
            "build a project dir, generally creating an image to be flashed, e.g. firmware.elf.",
            _fill_build,
        ),
        ("flash", [], "flash the built image on a given micro target.", _fill_flash),
    ):
        commands.add_parser(name, aliases=aliases, help=help_text).fill = fill


def _fill_create(parser: CommandParser, given: Sequence[str]) -> None:
    parser.add_argument(
        "project_dir",
        metavar="PROJECT_DIR",
        type=Path,
        help="project dir where the new project based on the template dir will be created.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=Path,
        help="Model Library Format (MLF) .tar archive, or a model file, which is compiled for the "
        "board.",
    )
    _add_force(parser, "force project creating even if the specified project directory exists.")
    add_memory(parser, several=False)
    parser.add_argument(
        "--io-in-arena",
        action=argparse.BooleanOptionalAction,
        help="leave room for a model file's inputs and outputs in its arena; done for standalone "
        "projects if not given.",
    )
    add_environment(parser, device=False)
    names = _add_platforms(parser, given, "generate_project", _PLATFORMS_HELP, required=True)
    parser.usage = f"%(prog)s [-h] [-f] PROJECT_DIR MODEL {names} ..."
    parser.set_defaults(run=_create)


def _fill_build(parser: CommandParser, given: Sequence[str]) -> None:
    _add_force(parser, "Force rebuild.")
    names = _fill_step(parser, given, "build", "Project dir to build.")
    parser.usage = f"%(prog)s [-h] [-f] PROJECT_DIR [{names}] ..."
    parser.set_defaults(run=_build)


def _fill_flash(parser: CommandParser, given: Sequence[str]) -> None:
    names = _fill_step(parser, given, "flash", "Project dir with an image built.")
    parser.usage = f"%(prog)s [-h] PROJECT_DIR [{names}] ..."
    parser.set_defaults(run=_flash)


def _fill_step(parser: CommandParser, given: Sequence[str], method: str, help_text: str) -> str:
    parser.add_argument("project_dir", metavar="PROJECT_DIR", type=Path, help=help_text)
    add_project_options(parser, method)
    return _add_platforms(parser, given, method, _OWN_PLATFORM_HELP, required=False)


def _add_force(parser: CommandParser, help_text: str) -> None:
    parser.add_argument("-f", "--force", action="store_true", help=help_text)


def add_project_options(parser: CommandParser, method: str, *flags: str) -> None:
    """Add the options of a project's own server, which is asked when they are listed or given.

    Args:
        parser: Gets them.
        method: The step, as the Project API calls it.
        flags: What project options are given by; `-o` unless given.
    """
    parser.add_argument(
        "--list-options",
        action="store_true",
        help="show all options/values for selected platforms/template.",
    )
    parser.add_argument(
        *(flags or ("-o", "--project-option")),
        dest="project_option",
        metavar="OPTION=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="options in place of those that were given to create-project.",
    )
    parser.add_argument("--auto", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(method=method, parser=parser)
    add_environment(parser)


def _add_platforms(
    parser: CommandParser, given: Sequence[str], method: str, help_text: str, *, required: bool
) -> str:
    """Add a parser for each platform; the one that is chosen is filled from its server.

    Returns:
        Their names, as usage lines have them.
    """
    from pytest_microtvm.project.platforms import load_platforms

    early = _read_early(given)
    platforms = load_platforms(early.platforms_dir)
    group = parser.add_subparsers(
        title="platforms",
        dest="platform",
        required=required,
        help=help_text,
        parser_class=CommandParser,
    )
    words = "PROJECT_DIR MODEL" if method == "generate_project" else "PROJECT_DIR"
    for name in [*platforms, TEMPLATE]:
        title = "select an adhoc template." if name == TEMPLATE else f"select {name} platform."
        chosen = group.add_parser(
            name, help=title, prog=f"{parser.prog} {words} {name}", add_help=False
        )
        directory = None if name == TEMPLATE else platforms[name].directory
        chosen.fill = _platform_filler(method, name, directory, early)
    return f"{{{','.join([*platforms, TEMPLATE])}}}"


def _platform_filler(
    method: str, name: str, directory: Path | None, early: argparse.Namespace
) -> Callable[[CommandParser, Sequence[str]], None]:
    def fill(parser: CommandParser, given: Sequence[str]) -> None:
        _add_repeated(parser, early)
        if directory is None:
            parser.add_argument(
                "-d",
                "--template-dir",
                type=Path,
                required=True,
                metavar="TEMPLATE_DIR",
                help="project API template directory.",
            )
        listing = parser.add_argument(
            "--list-options",
            action="store_true",
            default=argparse.SUPPRESS,
            help="show all options/values for selected platforms/template.",
        )
        template = directory or _template_directory(given)
        if template is None:
            return  # which argparse tells
        known = _options_of(template, name, early, method)
        options = MethodOptions(method, known, typed=directory is not None)
        needed = bool(options.required)
        parser.add_argument(
            "-o",
            dest="platform_option",
            metavar="OPTION=VALUE",
            nargs="+",
            action="extend",
            default=[],
            help=options.help_text().replace("%", "%%"),
        )
        parser.add_argument(
            "--project-option",
            dest="platform_option",
            nargs="+",
            action="extend",
            default=[],
            help=argparse.SUPPRESS,
        )
        pairs = " -o OPTION=VALUE [OPTION=VALUE ...]"
        folder = " -d TEMPLATE_DIR" if directory is None else ""
        parser.usage = f"%(prog)s{folder} [{listing.option_strings[0]}]" + (
            pairs if needed else f" [{pairs.strip()}]"
        )
        parser.set_defaults(platform_options=options, platform_parser=parser)

    return fill


def _add_repeated(parser: CommandParser, early: argparse.Namespace) -> None:
    """Add options that may stand behind the platform, too; what stands before it is kept."""
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    parser.add_argument(
        "-f", "--force", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    parser.add_argument("--cache-dir", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
    for folder in ("--boards-dir", "--platforms-dir"):  # `early` has them, wherever they stand
        parser.add_argument(folder, dest="read_early", help=argparse.SUPPRESS)
    parser.set_defaults(boards_dir=early.boards_dir, platforms_dir=early.platforms_dir)


def _read_early(given: Sequence[str]) -> argparse.Namespace:
    """What decides which platforms and options there are, wherever it stands."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--cache-dir", type=Path)
    parser.add_argument("-d", "--template-dir", type=Path)
    for kind in ("boards", "platforms"):
        parser.add_argument(f"--{kind}-dir", type=Path, action="append", default=[])
    return parser.parse_known_args(list(given))[0]


def _template_directory(given: Sequence[str]) -> Path | None:
    directory: Path | None = _read_early(given).template_dir
    if directory is not None and not directory.is_dir():
        raise ConfigError(f"Template directory {directory} does not exist!")
    return directory


def _options_of(
    directory: Path, platform: str, arguments: argparse.Namespace, method: str
) -> tuple[Any, ...]:
    """The options of a template, without those that are filled in; boards are offered by name."""
    known = _query(directory, arguments)
    if platform == TEMPLATE:
        return known.options
    from pytest_microtvm.boards import load_boards

    boards = tuple(
        name
        for name, board in load_boards(arguments.boards_dir).items()
        if known.platform_name in board.platforms
    )
    offered = []
    for option in known.options:
        if option.name in _FILLED_IN:
            continue
        if option.name == "board" and method == "generate_project" and not option.choices:
            option = replace(option, choices=boards)
        offered.append(option)
    return tuple(offered)


def _query(directory: Path, arguments: argparse.Namespace) -> KnownOptions:
    from pytest_microtvm.project.queries import query_options

    return query_options(directory, answers_directory(arguments), _QUERY_TIMEOUT_S)


def _create(arguments: argparse.Namespace) -> int:
    from pytest_microtvm.api.projects import create_project

    options: MethodOptions = arguments.platform_options
    parser: CommandParser = arguments.platform_parser
    if getattr(arguments, "list_options", False):
        parser.print_help()
        return 0
    if options.required and not arguments.platform_option:
        parser.error(f"the following arguments are required: -o ({', '.join(options.required)})")
    values = options.read(arguments.platform_option)
    directory: Path = arguments.project_dir
    if directory.exists() and not arguments.force:
        raise ConfigError(
            "The specified project dir already exists. To force overwriting it use '-f' or "
            "'--force'."
        )
    if not arguments.model.is_file():
        kind = "MLF file" if arguments.model.suffix == ".tar" else "Model file"
        raise ConfigError(f"{kind} {arguments.model} does not exist!")
    is_template = arguments.platform == TEMPLATE
    create_project(
        directory,
        arguments.model,
        board=values.pop("board", None),
        platform=None if is_template else arguments.platform,
        template=arguments.template_dir if is_template else None,
        force=arguments.force,
        memory=memory_of(arguments),
        io_in_arena=arguments.io_in_arena,
        environment=environment_of(arguments),
        **values,
    )
    return 0


def _build(arguments: argparse.Namespace) -> int:
    project, values = project_and_options(arguments)
    if project is None:
        return 0
    if project.is_built and not arguments.force:
        raise ConfigError(
            f"There is already a build in {arguments.project_dir}. To force rebuild it use '-f' "
            "or '--force'."
        )
    project.build(**values)
    return 0


def _flash(arguments: argparse.Namespace) -> int:
    project, values = project_and_options(arguments)
    if project is None:
        return 0
    require_build(project)
    project.flash(**values)
    return 0


def require_build(project: Project) -> None:
    """Make sure that a project was built.

    Raises:
        ConfigError: It was not.
    """
    if not project.is_built:
        raise ConfigError(
            f"Could not find a build in {project.directory}", cure="run microtvm build first"
        )


def project_and_options(
    arguments: argparse.Namespace,
) -> tuple[Project | None, dict[str, Any]]:
    """The project that a step is taken with, and the options that were given to it.

    The project is None when options were to be listed, which is done then.

    Raises:
        ConfigError: There is no such project, or the options cannot be used.
    """
    from pytest_microtvm.api.projects import open_project

    directory: Path = arguments.project_dir
    if not directory.is_dir():
        raise ConfigError(f"{directory} doesn't exist.")
    if getattr(arguments, "list_options", False) and getattr(arguments, "platform", None):
        arguments.platform_parser.print_help()
        return None, {}
    if arguments.list_options:
        options = MethodOptions(arguments.method, _query(directory, arguments).options)
        _list_options(arguments.parser, options)
        return None, {}
    _check_project(directory)
    project = open_project(directory, environment=environment_of(arguments))
    pairs = [*arguments.project_option, *getattr(arguments, "platform_option", ())]
    chosen = getattr(arguments, "platform", None)
    if chosen not in (None, TEMPLATE, project.platform):
        raise ConfigError(
            f"{directory} was created for the platform {project.platform}, not for {chosen}",
            cure="leave the platform out",
        )
    recorded = project.options
    known = _query(directory, arguments)
    options = MethodOptions(arguments.method, known.options, known.typed)
    values = options.read(pairs, {*recorded, *_FILLED_IN}) if pairs else {}
    for name, value in values.items():
        if name in recorded and recorded[name] != value:
            tell(f"{name}={value} in place of {recorded[name]}, which the project was created with")
    return project, values


def _check_project(directory: Path) -> None:
    from pytest_microtvm.project.server.project import MODEL_FILE
    from pytest_microtvm.project.server_process import LAUNCH_SCRIPT, SERVER_FILE

    if not any((directory / name).is_file() for name in (SERVER_FILE, LAUNCH_SCRIPT)):
        raise ConfigError(f"Error: Project API server not found in {directory}!")
    if not (directory / MODEL_FILE).is_file():
        raise ConfigError(
            "Error: Project directory error. That usually happens when model.tar is not found."
        )


def _list_options(parser: CommandParser, options: MethodOptions) -> None:
    """Print a subcommand's help with the options of a project's server in it."""
    for action in parser._actions:
        if action.dest == "project_option":
            action.help = options.help_text().replace("%", "%%")
    parser.print_help()
