"""What pytest's summary says of models that are not quite what their user thinks."""

import pytest

from pytest_microtvm.boards import load_boards
from tests.contract.running import need_tools
from tests.unit.compiler.test_integer_groups import difference_after_add


def test_operators_that_stay_in_float_are_in_the_warnings_summary(run_pytest, workspace):
    (workspace / "odd.tflite").write_bytes(difference_after_add().to_bytes())
    for _ in ("compiled", "from the cache"):
        outcome = run_pytest("odd.tflite", "--microtvm-board=host", status=0)
        [line] = outcome.lines("FloatOperatorWarning")
        assert "odd.tflite: computed in float32" in line
        assert "subtract, multiply" in line


@pytest.mark.parametrize("executor", ["aot", "graph", "host_driven"])
def test_their_instructions_are_told(executor, run_pytest, workspace):
    need_tools(load_boards()["mps2_an386"])
    (workspace / "odd.tflite").write_bytes(difference_after_add().to_bytes())
    options = ("--microtvm-board=mps2_an386", f"--microtvm-executor={executor}")
    outcome = run_pytest("odd.tflite", *options, status=0)
    [record] = outcome.records
    total, part = (
        record["metrics"][name]["value"] for name in ("instructions", "float_instructions")
    )
    # All but the ADD, which is the only other kernel.
    [add] = [each for each in record["layers"] if "_add_" in each["kernel"]]
    others = [each["instructions"] for each in record["layers"] if each is not add]
    assert others
    assert part == sum(others)
    assert 0 < part < total
    told = f"odd.tflite on mps2_an386, {executor}: {part:,} of {total:,} instructions are those of"
    assert outcome.lines(told)
