"""What pytest's summary says of models that are not quite what their user thinks."""

import pytest

from pytest_microtvm.boards import load_boards
from tests.contract.running import need_tools
from tests.plugin.running import run_plugin
from tests.unit.compiler.test_integer_groups import power_after_add


def test_operators_that_stay_in_float_are_in_the_warnings_summary(run_pytest, workspace):
    (workspace / "odd.tflite").write_bytes(power_after_add().to_bytes())
    for _ in ("compiled", "from the cache"):
        outcome = run_pytest("odd.tflite", "--microtvm-board=host", status=0)
        [line] = outcome.lines("FloatOperatorWarning")
        assert "odd.tflite: computed in float32" in line
        assert "power" in line


EXECUTORS = ("aot", "graph", "host_driven")


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory, shared_cache):
    """One run of the model by every executor."""
    need_tools(load_boards()["mps2_an386"])
    workspace = tmp_path_factory.mktemp("odd")
    (workspace / "pytest.ini").write_text("[pytest]\n")
    (workspace / "odd.tflite").write_bytes(power_after_add().to_bytes())
    options = ("--microtvm-board=mps2_an386", f"--microtvm-executor={','.join(EXECUTORS)}")
    return run_plugin(workspace, "odd.tflite", *options, cache=shared_cache, status=0)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_their_instructions_are_told(odd_run, executor):
    [record] = [each for each in odd_run.records if each["executor"] == executor]
    total, part = (
        record["metrics"][name]["value"] for name in ("instructions", "float_instructions")
    )
    # All but the ADD, which is the only other kernel.
    [add] = [each for each in record["layers"] if "_add_" in each["kernel"]]
    others = [each["instructions"] for each in record["layers"] if each is not add]
    assert others
    assert part == sum(others)
    assert 0 < part < total


def test_the_executor_with_the_largest_part_is_told(odd_run):
    def values(record):
        return [record["metrics"][name]["value"] for name in ("float_instructions", "instructions")]

    most = max(odd_run.records, key=lambda each: values(each)[0] / values(each)[1])
    part, total = values(most)
    told = f"odd.tflite on mps2_an386, {most['executor']}: {part:,} of {total:,} instructions ("
    [line] = odd_run.lines(told)
    assert "of 3 the most are those of" in line
