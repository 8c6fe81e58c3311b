"""What all tests share: pytester, and the rule that CI accepts no skip it does not know."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Generator
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

# Tests start hundreds of Python processes. They keep their bytecode, whatever this process does:
# otherwise each of them would compile the whole package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Skips that CI accepts, as patterns of test ids, each with its reason.
ALLOWED_SKIPS = {
    "tests/hil/test_real_boards.py::*": "no board is attached to a CI machine",
    "tests/zephyr/test_real_projects.py": "CI has no Zephyr",
    "tests/zephyr/test_real_tree.py": "CI has no Zephyr",
    "tests/freertos/test_real_kernel.py": "CI has no FreeRTOS",
    "tests/unit/compiler/torch/*": "PyTorch is larger than all that CI installs together",
    "tests/unit/verify/test_torch_interpreter.py::*": "likewise",
}


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the whole run, which workers of pytest-xdist share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def compiled_objects(run_folder: Path) -> Path:
    """Where ccache keeps the objects of all firmware that a run builds, whatever its cache is."""
    return Path(os.environ.setdefault("CCACHE_DIR", str(run_folder / "objects")))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("skips")
    group.addoption(
        "--refuse-skips",
        action="store_true",
        default=os.environ.get("CI", "").lower() in ("1", "true"),
        help="A skipped test fails unless it is allowed (default: when CI=true).",
    )
    group.addoption(
        "--allow-skip",
        action="append",
        default=[],
        metavar="PATTERN",
        help="Accept skips of the tests whose id matches PATTERN; may be given several times.",
    )


def refuses_skip(config: pytest.Config, nodeid: str) -> bool:
    """Whether a skip of the test or module `nodeid` is to be a failure."""
    allowed = [*ALLOWED_SKIPS, *config.getoption("--allow-skip")]
    return config.getoption("--refuse-skips") and not any(
        fnmatch.fnmatchcase(nodeid, pattern) for pattern in allowed
    )


def refusal(reason: object) -> str:
    """The failure's text: the skip's own reason says what is missing."""
    return f"unexpected skip: {reason} (tests/conftest.py lists the skips that CI accepts)"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if (
        report.skipped
        and not hasattr(report, "wasxfail")
        and refuses_skip(item.config, item.nodeid)
    ):
        report.outcome = "failed"
        report.longrepr = refusal(call.excinfo.value if call.excinfo else "")
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and refuses_skip(collector.config, collector.nodeid):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = refusal(reason)
    return report
