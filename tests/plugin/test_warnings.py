"""What pytest's summary says of models that are not quite what their user thinks."""

from tests.unit.compiler.test_integer_groups import difference_after_add


def test_operators_that_stay_in_float_are_in_the_warnings_summary(run_pytest, workspace):
    (workspace / "odd.tflite").write_bytes(difference_after_add().to_bytes())
    for _ in ("compiled", "from the cache"):
        outcome = run_pytest("odd.tflite", "--microtvm-board=host", status=0)
        [line] = outcome.lines("FloatOperatorWarning")
        assert "odd.tflite: computed in float32" in line
        assert "subtract, multiply" in line
