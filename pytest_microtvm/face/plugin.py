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

from pytest_microtvm.errors import ConfigError, MicroTVMError, refused_path
from pytest_microtvm.face import debugger, fixtures, hookspecs, markers, options
from pytest_microtvm.face.outcomes import adapt_report, name_phases
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
    from pytest_microtvm.face.settings import known_readiness, load_known_boards
    from pytest_microtvm.report.tables import board_table

    with _usage_errors():
        boards = load_known_boards(config)
        ready = known_readiness(config, boards)
    sys.stdout.write("\n".join(board_table(boards, ready)) + "\n")
    return 0


def pytest_configure(config: pytest.Config) -> None:
    """Check what was asked for; load the heavy part only if boards were."""
    for line in markers.LINES:
        config.addinivalue_line("markers", line)
    config.pluginmanager.register(fixtures, "microtvm-fixtures")
    with _usage_errors():
        if config.option.microtvm_debug:
            debugger.check_usage(config)
        _check_named_files(config)
        if options.asks_for_boards(config):
            _start_run(config)


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
    if "microtvm_model" in metafunc.fixturenames:
        with contextlib.suppress(ConfigError):  # told when the test is run
            models = markers.named_models(metafunc.definition)
            if len(models) > 1:
                ids = markers.model_ids(models)
                numbers = range(len(models))
                metafunc.parametrize("microtvm_model", numbers, indirect=True, ids=ids)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep errors and failures apart, and bring the records of the test."""
    run = run_of(item.config)
    if run is not None and call.when == "teardown":
        # Now: the report takes them.
        item.user_properties += run.results.properties_of(item)
    report = yield
    adapt_report(report, item, call, run)
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
        run.results.add_error_of_killed(worker, crashitem, record, error.one_line())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close the devices, and write the records or hand them to the controlling process."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        name_phases(terminal.stats.get("error", ()))
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
        writer = config.get_terminal_writer()
        for line in run_report(
            records,
            verbose=verbose,
            layers=config.option.microtvm_layers,
            width=writer.fullwidth,
            paint=lambda text, colour: writer.markup(text, **{colour: True}) if colour else text,
        ):
            terminalreporter.line(line)
    for note in run.notes:
        terminalreporter.line(note)
    if run.settings.keep_projects is not None:
        terminalreporter.line(f"projects are kept in {run.settings.keep_projects}")
    if run.trouble:
        terminalreporter.line(f"ERROR: {run.trouble}", red=True)


def _start_run(config: pytest.Config) -> None:
    from pytest_microtvm.face import collection
    from pytest_microtvm.face.reports import register_reports
    from pytest_microtvm.face.run import Run
    from pytest_microtvm.face.settings import load_known_boards, read_settings

    boards = load_known_boards(config)
    run = Run(config, read_settings(config, boards), boards)
    config.add_cleanup(run.close)
    run.open()
    register_reports(config, run)
    config.stash[RUN_KEY] = run
    config.pluginmanager.register(collection, "microtvm-collection")
    if config.option.microtvm_debug:
        config.pluginmanager.register(debugger.Debugger(run), "microtvm-debug")


def _check_named_files(config: pytest.Config) -> None:
    """Refuse models that are named and cannot be run: they must not look like a pass.

    Raises:
        ConfigError: One has no board, or a suffix that nothing here reads.
    """
    from pytest_microtvm.model_files import NOT_COMPILED, is_model, suffix_of

    has_boards = options.asks_for_boards(config)
    for argument in config.args:
        path = Path(argument.split("::")[0])
        # Most arguments are Python files: do not look for front ends because of them.
        if suffix_of(path) in ("", ".py") or not path.is_file():
            continue
        if suffix_of(path) in NOT_COMPILED:
            why, cure = NOT_COMPILED[suffix_of(path)]
            raise ConfigError(f"{path}: {why}", cure=cure)
        if not has_boards and is_model(path):
            raise ConfigError(
                f"{path} is a model, but no board is named",
                cure="add --microtvm-board=NAME, 'available' for all that can run here; "
                "--microtvm-list-boards tells the names",
            )


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn our errors into pytest's usage errors: one line, exit code 4."""
    try:
        yield
    except MicroTVMError as error:
        raise pytest.UsageError(error.one_line()) from error
    except OSError as error:
        raise pytest.UsageError(refused_path(error).one_line()) from error
