"""The rule of tests/conftest.py: where skips are refused, an unexpected one is a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("CI", raising=False)
    # Its plugin cannot be loaded twice in one process.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:labgrid")
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(
        test_some="""
        import pytest

        def test_runs(): pass
        def test_skips(): pytest.skip("qemu is missing: apt-get install qemu-system-x86")
        @pytest.mark.xfail
        def test_expected_failure(): assert False
        """
    )
    return pytester


def test_a_skip_is_accepted_on_a_desk(project: pytest.Pytester) -> None:
    project.runpytest().assert_outcomes(passed=1, skipped=1, xfailed=1)


def test_an_unexpected_skip_fails_in_ci(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    result = project.runpytest()
    result.assert_outcomes(passed=1, failed=1, xfailed=1)
    result.stdout.fnmatch_lines(["*unexpected skip: *qemu is missing*"])


def test_an_allowed_skip_is_accepted_in_ci(project: pytest.Pytester) -> None:
    result = project.runpytest("--refuse-skips", "--allow-skip=*::test_skips")
    result.assert_outcomes(passed=1, skipped=1, xfailed=1)


def test_an_unexpected_skip_of_a_module_fails_in_ci(project: pytest.Pytester) -> None:
    project.makepyfile(test_whole='import pytest; pytest.importorskip("no_such_module")')
    result = project.runpytest("--refuse-skips", "test_whole.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*unexpected skip: *no_such_module*"])
