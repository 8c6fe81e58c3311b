"""A firmware project in a folder of the user's: created, built, flashed, opened."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from pytest_microtvm.api.device import Device
from pytest_microtvm.api.environment import Environment, StrPath
from pytest_microtvm.api.generation import (
    QUERY_TIMEOUT_S,
    generate_for_board,
    generate_from_template,
    project_library,
)
from pytest_microtvm.api.project_file import PROJECT_FILE, ProjectRecord, board_of, holds_project
from pytest_microtvm.api.real_boards import how_to_connect, named_board
from pytest_microtvm.boards import Board
from pytest_microtvm.compiler.pools import Memory
from pytest_microtvm.deadline import Deadline
from pytest_microtvm.errors import BuildError, ConfigError
from pytest_microtvm.executors import AOT
from pytest_microtvm.flow.harness import Harness
from pytest_microtvm.flow.harness_options import HarnessOptions
from pytest_microtvm.flow.measuring import measure
from pytest_microtvm.flow.progress import long_step
from pytest_microtvm.flow.serving import check_key, parse_address, reach, serve
from pytest_microtvm.flow.workshop import BUILD_TIMEOUT_S
from pytest_microtvm.measure.metrics import Metrics
from pytest_microtvm.measure.records import Record
from pytest_microtvm.mlf.library import ModelLibrary, open_library
from pytest_microtvm.project import flash_project
from pytest_microtvm.project.firmware import Firmware
from pytest_microtvm.project.platforms import Platform
from pytest_microtvm.project.server.api import DEBUG
from pytest_microtvm.project.server.project import MODEL_FILE
from pytest_microtvm.project.server.project_types import HOST_DRIVEN, STANDALONE, type_of
from pytest_microtvm.project.server_process import SERVER_FILE
from pytest_microtvm.project.support import ask_platform
from pytest_microtvm.session.console import Console
from pytest_microtvm.session.device import FLASH_TIMEOUT_S
from pytest_microtvm.session.tracker import Tracker
from pytest_microtvm.session.transport import ProjectTransport
from pytest_microtvm.temporary import TemporaryFolder

TEMPLATE = "template"
"""The platform of projects that are made from a template that is named by its folder."""


class Project:
    """A firmware project in a folder.

    Made by `create_project` and `open_project`.

    Attributes:
        directory: The folder.
        library: The archive that it was made from, its copy in the project.
        board: The board that it is for.
        platform: The platform whose template made it.
        executor: What walks the model's kernels: "aot", "graph" or "host_driven".
    """

    def __init__(
        self, directory: Path, board: Board, record: ProjectRecord, environment: Environment
    ) -> None:
        self.directory = directory
        self.library: ModelLibrary = open_library(directory / MODEL_FILE)
        self.board = board
        self.platform = record.platform
        self.executor = record.executor
        self._record = record
        self._environment = environment

    @property
    def options(self) -> dict[str, Any]:
        """The project options that it was created with; a copy."""
        return dict(self._record.options)

    @property
    def project_type(self) -> str:
        """What its firmware does: "host_driven", "standalone" or "mlperftiny"."""
        return type_of(self._record.options)

    @property
    def is_built(self) -> bool:
        """Whether there is firmware."""
        return self._record.built > 0

    @property
    def metrics(self) -> Metrics:
        """What the firmware takes of the board's memory; `Device.metrics` has what a run takes.

        Raises:
            BuildError: It was not built.
        """
        self._require_built()
        with (
            TemporaryFolder("measure") as folder,
            self._harness({}, always_flash=False) as harness,
        ):
            return measure(self._firmware(harness, folder))

    def build(self, **options: Any) -> None:
        """Compile and link it, or what changed since it was.

        Args:
            options: The platform's project options, beside those that it was created with.

        Raises:
            ConfigError: An option that the platform refuses.
            BuildError: A tool is missing or fails, or the model does not fit the board; `details`
                has what the tools said.
        """
        what = f"building {self.library.name} for {self.board.label} ({self.executor})"
        with (
            self._environment.open_workshop() as workshop,
            long_step(what, self._environment.progress) as step,
        ):
            deadline = Deadline(BUILD_TIMEOUT_S)
            values = self._all(options)
            built = workshop.build_project(self.directory, values, deadline, step.reach)
        self._record.built += 1
        self._record.elf = "" if built is None else str(built.elf or "")
        self._record.write(self.directory)

    def flash(self, **options: Any) -> None:
        """Write the firmware to its board; an emulated one has nothing to do.

        A real board is taken from the lab, or is the one that the options `port`, `usb` and `probe`
        name.

        Args:
            options: The platform's project options, beside those that it was created with.

        Raises:
            ConfigError: An option that the platform refuses.
            BuildError: The project was not built.
            FlashError: The firmware did not reach the board.
            LeaseError: No board can be had.
        """
        self._require_built()
        given = self._all(options)
        if self.project_type != HOST_DRIVEN:  # no session could tell which firmware it is
            flash_project(self.directory, given, Deadline(FLASH_TIMEOUT_S))
            self._note_flashed()
            return
        with self._harness(given, always_flash=True) as harness:
            if harness.is_real(self.board):
                harness.open(self._firmware(harness, self.directory), self._new_record(), _ignore)
            else:
                flash_project(self.directory, given, Deadline(FLASH_TIMEOUT_S))
        self._note_flashed()

    def open(self, **options: Any) -> Device:
        """Open the device that runs the firmware.

        A real board is flashed first, unless it was flashed with this build and says so.

        Args:
            options: The platform's project options, beside those that it was created with.

        Returns:
            The device; use it as a context manager, or close it.

        Raises:
            ConfigError: An option that the platform refuses.
            BuildError: The project was not built.
            MicroTVMError: The device cannot be had, flashed or opened.
        """
        self._require_built()
        self._require_type(is_served=True)
        given = self._all(options)
        record = self._new_record()
        with contextlib.ExitStack() as resources:
            harness = resources.enter_context(
                self._harness(given, always_flash=not self._is_flashed())
            )
            folder = resources.enter_context(TemporaryFolder("open"))
            firmware = self._firmware(harness, folder)
            is_real = harness.is_real(self.board)
            if not self._record.build_id and not self._is_flashed():
                # A template's own: whether its board is a real one is known to its server alone.
                flash_project(self.directory, given, Deadline(FLASH_TIMEOUT_S))
                self._note_flashed()
            session = harness.open(firmware, record, self._environment.log, given)
            if is_real:
                self._note_flashed()
            return Device(session, harness, record, resources.pop_all())
        raise AssertionError("unreachable")

    def open_console(self, **options: Any) -> Console:
        """Start the firmware of a project that is not "host_driven", and read what it says.

        A real board is the one that the options `port` and so on name; it is flashed before, by
        `flash`.

        Args:
            options: The platform's project options, beside those that it was created with.

        Returns:
            The device's console; use it as a context manager, or close it.

        Raises:
            ConfigError: The firmware is served to the host, or an option that the platform refuses.
            BuildError: The project was not built.
            MicroTVMError: The device cannot be had.
        """
        self._require_built()
        self._require_type(is_served=False)
        console = Console(ProjectTransport(self.directory, self._all(options)))
        console.open()
        return console

    def require_debug(self, **options: Any) -> None:
        """Make sure that the firmware can be run under gdb: that its platform emulates the board.

        Args:
            options: As of `open`.

        Raises:
            ConfigError: It cannot; a real board is left to its probe's own gdb server.
            BuildError: The project's server does not answer.
        """
        given = self._all(options)
        real = named_board(self.board, given) or [
            board for board in self._environment.lab_boards() if board.kind == self.board.name
        ]
        if self.board.is_real(bool(real)):
            raise ConfigError(
                f"{self.board.label} is a real board, and only emulated ones are started under gdb",
                cure=how_to_connect(self.directory, self.elf, self.library, real),
            )
        own = Platform(self.platform, self.directory)
        deadline = Deadline(QUERY_TIMEOUT_S)
        (support,) = ask_platform(own, [self.board], deadline, identify=False)
        if DEBUG not in support.abilities:
            raise ConfigError(
                f"the platform {self.platform} cannot run {self.board.label} under gdb",
                cure="choose an emulated board of a platform that can, such as baremetal",
            )

    def serve(self, tracker: str, key: str, *, port: int = 0, **options: Any) -> NoReturn:
        """Offer the device to the clients of a TVM RPC tracker, one after the other, for good.

        Whoever asks the tracker for `key` has the device, fresh from its start, until it closes its
        session: TVM's own `tvm.rpc.connect_tracker(host, port).request(key)`, or `open_remote`.

        Args:
            tracker: The tracker's address, as "HOST:PORT".
            key: What clients ask for.
            port: Where they come in; 0 for a free port.
            options: As of `open`.

        Raises:
            MicroTVMError: As of `open`; or the tracker is gone, or the device is.
        """
        address = parse_address(tracker)
        check_key(key)
        with Tracker(*address):
            pass  # before the device is opened: it is there
        with self.open(**options) as device:
            serve(device.session, address, key, port, self._environment.progress)

    def open_remote(self, tracker: str, key: str) -> Device:
        """Open a device that runs the firmware elsewhere, as a TVM RPC tracker offers it.

        Args:
            tracker: The tracker's address, as "HOST:PORT".
            key: What it is offered as (see `serve`).

        Returns:
            The device; its own log and its instructions are not seen from here.

        Raises:
            LeaseError: No board is offered by this key, or others had it all the time.
            ProtocolError: It runs other firmware.
            MicroTVMError: The tracker is gone, or the device cannot be opened.
        """
        self._require_built()
        address = parse_address(tracker)
        check_key(key)
        environment = self._environment
        record = self._new_record()
        with contextlib.ExitStack() as resources:
            harness = resources.enter_context(self._harness({}, always_flash=False))
            folder = resources.enter_context(TemporaryFolder("open"))
            firmware = self._firmware(harness, folder)
            session = reach(firmware, address, key, environment.timeout_s, environment.log)
            resources.enter_context(session)
            return Device(session, harness, record, resources.pop_all())
        raise AssertionError("unreachable")

    def _all(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a step: those that the project was created with, and further ones."""
        return {**self._record.options, **options}

    def _require_type(self, *, is_served: bool) -> None:
        if (self.project_type == HOST_DRIVEN) is is_served:
            return
        what = "is no program by itself" if not is_served else "has no RPC server"
        raise ConfigError(
            f"the firmware of {self.directory}, a project of type {self.project_type}, {what}",
            cure="open its device" if not is_served else "open its console: microtvm run does",
        )

    def _require_built(self) -> None:
        if not self.is_built:
            raise BuildError(
                f"{self.directory} was not built", cure="build the project first", operation="open"
            )

    def _harness(
        self, options: Mapping[str, Any], *, always_flash: bool
    ) -> contextlib.AbstractContextManager[Harness]:
        environment, board = self._environment, named_board(self.board, options)
        harness_options = HarnessOptions(
            timeout_s=environment.timeout_s,
            lease_timeout_s=environment.lease_timeout_s,
            count_instructions=environment.count_instructions,
        )
        return environment.open_harness(harness_options, board, always_flash=always_flash)

    def _firmware(self, harness: Harness, folder: Path) -> Firmware:
        """The project as a session takes it.

        Args:
            harness: Has what counts instructions.
            folder: Gets what the counting needs.
        """
        return harness.workshop.firmware_of(
            self.directory,
            self._record.build_id,
            self.library,
            self.board,
            self.executor,
            self.elf,
            folder,
        )

    @property
    def elf(self) -> Path | None:
        """The linked program with its symbols; None where there is none, or none is told of."""
        path = self.directory / self._record.elf
        return path if path.is_file() else None

    def _new_record(self) -> Record:
        return Record(str(self.directory), self.board.label, self.platform, self.executor)

    def _is_flashed(self) -> bool:
        record = self._record
        return record.flashed == record.built and record.image == self._image()

    def _note_flashed(self) -> None:
        self._record.flashed, self._record.image = self._record.built, self._image()
        self._record.write(self.directory)

    def _image(self) -> str:
        """A hash of the linked program; empty where there is none to be found."""
        return "" if self.elf is None else hashlib.sha256(self.elf.read_bytes()).hexdigest()


def create_project(
    directory: StrPath,
    model: Any,
    *,
    board: str | None = None,
    platform: str | None = None,
    executor: str = AOT,
    template: StrPath | None = None,
    force: bool = False,
    memory: Memory | None = None,
    io_in_arena: bool | None = None,
    environment: Environment | None = None,
    **options: Any,
) -> Project:
    """Create a firmware project from a model.

    The project stands on its own: the model's code, the runtime and the platform's sources in one
    folder, which may be moved or copied.

    Args:
        directory: The folder; is created, and removed again should anything go wrong.
        model: An archive, open or by its path; or a model as of `compile`, which is compiled for
            the board.
        board: The name of the board; may be left out with a template that does not ask for one.
        platform: The platform that makes its firmware; None for the board's default.
        executor: "aot", "graph" or "host_driven".
        template: The folder of a template, with its `microtvm_api_server.py`, in place of a
            platform; one that was written for TVM's microTVM runs after changing one import.
        force: Replace the folder, if it holds a project.
        memory: The pools that a model, if it is no archive, has for tensors; as of `compile`.
        io_in_arena: Leave room for inputs and outputs in the arena of a model, if it is no archive,
            as of `compile`; None to do so in standalone projects, whose program has no memory of
            its own for them then.
        environment: Where boards and cache are; None for the defaults.
        options: The platform's project options.

    Returns:
        The project, yet to be built.

    Raises:
        ConfigError: The folder exists, there is no such board, platform or template, or an option
            that the platform refuses.
        ModelError: The model cannot be read or compiled.
        BuildError: The project could not be generated; the model is too large, for instance.
    """
    environment = environment or Environment()
    target = Path(directory)
    _check_vacant(target, force)
    if template is None and board is None:
        raise ConfigError("no board is named", cure="name one; 'microtvm boards' lists them")
    definition = None
    if template is None:
        assert board is not None
        definition = environment.board(board, platform)
    with environment.open_workshop() as workshop:
        if io_in_arena is None:
            io_in_arena = definition is not None and type_of(options) == STANDALONE
        library = project_library(model, definition, memory, io_in_arena, workshop)
        if target.exists():
            shutil.rmtree(target)
        if definition is not None:
            record = generate_for_board(library, definition, executor, target, options, workshop)
        else:
            assert template is not None
            given = options if board is None else {"board": board, **options}
            record = generate_from_template(library, Path(template), executor, target, given)
    record.write(target)
    return Project(target, board_of(target, record), record, environment)


def open_project(directory: StrPath, *, environment: Environment | None = None) -> Project:
    """Open a firmware project that was created before, also one that was moved or copied.

    Args:
        directory: The project's folder.
        environment: Where cache and lab are; None for the defaults.

    Raises:
        ConfigError: It is no project, a newer version of pytest-microtvm made it, or
            `create_project` did not.
        ModelError: Its archive is damaged.
    """
    target = Path(directory)
    if not target.is_dir():
        raise ConfigError(f"{target} doesn't exist.", cure="create a project there")
    if not holds_project(target):
        raise ConfigError(
            f"{target} is no project: it lacks {SERVER_FILE} or {MODEL_FILE}",
            cure="name the folder of a generated project",
        )
    record = ProjectRecord.read(target)
    if record is None:
        raise ConfigError(
            f"{target} has no {PROJECT_FILE}: create_project did not make it",
            cure="create the project again from its model.tar",
        )
    return Project(target, board_of(target, record), record, environment or Environment())


def copy_firmware(firmware: Firmware, directory: Path) -> None:
    """Make a project of built firmware in the cache, which `open_project` opens.

    Args:
        firmware: The firmware.
        directory: The project's folder; is created.
    """
    shutil.copytree(firmware.project_dir, directory, symlinks=True)
    elf = "" if firmware.elf is None else str(firmware.elf.relative_to(firmware.project_dir))
    ProjectRecord(
        firmware.board.platform, firmware.executor, firmware.build_id, built=1, elf=elf
    ).write(directory)


def _check_vacant(directory: Path, force: bool) -> None:
    if not directory.exists():
        return
    if not force:
        raise ConfigError(
            "The specified project dir already exists.",
            cure=f"to overwrite {directory}, use force (-f or --force)",
        )
    if not directory.is_dir() or not holds_project(directory):
        raise ConfigError(
            f"{directory} holds no project, so that it is not overwritten",
            cure="name another folder, or remove it yourself",
        )


def _ignore(_line: str) -> None:
    """Keep no log."""
