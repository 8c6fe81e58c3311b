"""The pytest plugin: what its options turn on, and the report at the end.

Thin on purpose: a pytest run that names no board loads nothing but the faces themselves.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_microtvm.errors import ConfigError, DoesNotFit, MicroTVMError
from pytest_microtvm.face import debugger, fixtures, hookspecs, options
from pytest_microtvm.face.stash import RUN_KEY, run_of

RECORDS = "microtvm_records"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    options.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer `--microtvm-list-boards` instead of running tests."""
    if not config.option.microtvm_list_boards:
        return None
    from pytest_microtvm.face.settings import load_known_boards
    from pytest_microtvm.report.tables import board_table

    with _usage_errors():
        boards = load_known_boards(config)
    sys.stdout.write("\n".join(board_table(boards)) + "\n")
    return 0


def pytest_configure(config: pytest.Config) -> None:
    """Check what was asked for; load the heavy part only if boards were."""
    config.addinivalue_line(
        "markers",
        f"{fixtures.MODEL_MARKER}(path, input_shapes={{NAME: SHAPE}}, signature=NAME): "
        "the model that the microtvm fixtures run, and how it is read",
    )
    config.addinivalue_line(
        "markers",
        f"{fixtures.BOARD_MARKER}(requires_ram=BYTES, requires_flash=BYTES, only=PATTERNS, "
        "skip=PATTERNS): the boards that a test is for",
    )
    config.addinivalue_line("markers", "skip_boards(*names): boards that a test is kept from")
    config.pluginmanager.register(fixtures, "microtvm-fixtures")
    with _usage_errors():
        if config.option.microtvm_debug:
            debugger.check_usage(config)
        if options.asks_for_boards(config):
            _start_run(config)
        else:
            _refuse_models(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses a board once on every board, with every executor."""
    run = run_of(metafunc.config)
    if run is None:
        return
    for fixture, values in (
        ("microtvm_board", run.settings.boards),
        ("microtvm_executor", run.settings.executors),
    ):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, values, indirect=True, ids=values, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep errors and failures apart: a broken board is no verdict on the model."""
    run = run_of(item.config)
    if run is not None and call.when == "teardown":
        # Now: the report takes them.
        item.user_properties += run.results.properties_of(item)
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, DoesNotFit) and run is not None and not run.is_named(error.board):
        # The board was found by a glob or a tag: nobody said that this model runs there.
        report.outcome, report.when = "skipped", "setup"
        report.longrepr = (str(item.path), 0, f"Skipped: {error.one_line()}")
        run.results.note_outcome(item, "skipped", error.one_line())
        return report
    if isinstance(error, MicroTVMError):
        # A user needs the line and what the tools said, not the way through our code.
        if not item.config.option.fulltrace:
            report.longrepr = f"{type(error).__name__}: {error}"
        if report.when == "call":
            # pytest calls what goes wrong around a test an error, and inside it a failure.
            report.when = "setup"
    if run is not None and report.failed and report.when == "call":
        run.results.note_outcome(item, "failed")
    elif run is not None and report.failed:
        line = error.one_line() if isinstance(error, MicroTVMError) else str(error)
        run.results.note_outcome(item, "error", line)
    elif run is not None and report.passed and report.when == "call":
        run.results.note_outcome(item, "passed")
    if run is not None and call.when == "teardown" and run.processes.worker is not None:
        # With every test: a worker that is killed later brings none at its end.
        setattr(report, RECORDS, run.results.records_of(item))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take the records of a test that ran in a worker of pytest-xdist."""
    node: Any = getattr(report, "node", None)
    run = None if node is None else run_of(node.config)
    if run is not None:
        run.results.add_workers_records(node.gateway.id, getattr(report, RECORDS, ()))


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport) -> None:
    """A worker of pytest-xdist that ends in a test is no verdict on the model: an error."""
    node: Any = report.node
    run = run_of(node.config)
    if run is None:
        return
    worker = node.gateway.id
    error = MicroTVMError(
        f"the worker {worker!r} of pytest-xdist crashed or was killed while it ran {crashitem}, "
        "so there is no verdict",
        cure="look for what ended it, the kernel's log tells of memory that ran out, and run the "
        "test again",
    )
    report.when, report.longrepr = "setup", f"{type(error).__name__}: {error}"
    record = run.processes.record_of_killed(worker, crashitem)
    if record is not None:
        run.results.add_error_of_killed(worker, record, error.one_line())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close the devices, and write the records or hand them to the controlling process."""
    run = run_of(session.config)
    if run is None:
        return
    run.close()
    worker_output = getattr(session.config, "workeroutput", None)
    if worker_output is not None:
        worker_output[RECORDS] = run.results.own_records()
        return
    try:
        run.results.publish(session.config)
    except ConfigError as error:
        run.trouble = error.one_line()
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take the records of a worker of pytest-xdist as they are at its end."""
    run = run_of(node.config)
    if run is not None:
        run.results.add_workers_records(
            node.gateway.id, getattr(node, "workeroutput", {}).get(RECORDS, ())
        )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print verdicts and metrics as a table."""
    run = run_of(config)
    if run is None:
        return
    records = run.results.all_records()
    if records:
        from pytest_microtvm.report.tables import run_report

        terminalreporter.section("microtvm")
        verbose = config.get_verbosity() > 0
        for line in run_report(records, verbose=verbose, layers=config.option.microtvm_layers):
            terminalreporter.line(line)
    if run.settings.keep_projects is not None:
        terminalreporter.line(f"projects are kept in {run.settings.keep_projects}")
    if run.trouble:
        terminalreporter.line(f"ERROR: {run.trouble}", red=True)


def _start_run(config: pytest.Config) -> None:
    from pytest_microtvm.face import collection
    from pytest_microtvm.face.run import Run
    from pytest_microtvm.face.settings import load_known_boards, read_settings

    boards = load_known_boards(config)
    run = Run(config, read_settings(config, boards), boards)
    config.add_cleanup(run.close)
    run.open()
    config.stash[RUN_KEY] = run
    config.pluginmanager.register(collection, "microtvm-collection")
    if config.option.microtvm_debug:
        config.pluginmanager.register(debugger.Debugger(run), "microtvm-debug")


def _refuse_models(config: pytest.Config) -> None:
    """A model that is named but not run must not look like a pass."""
    from pytest_microtvm.model_files import is_model, suffix_of

    for argument in config.args:
        path = Path(argument.split("::")[0])
        # Most arguments are Python files: do not look for front ends because of them.
        if suffix_of(path) not in ("", ".py") and is_model(path) and path.is_file():
            raise ConfigError(
                f"{path} is a model, but no board is named",
                cure="add --microtvm-board=NAME; --microtvm-list-boards tells the names",
            )


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn our errors into pytest's usage errors: one line, exit code 4."""
    try:
        yield
    except MicroTVMError as error:
        raise pytest.UsageError(error.one_line()) from error
