"""What is said of the first kernel that differs, and which of its calls that is."""

from __future__ import annotations

import numpy as np

from pytest_microtvm.mlf.graph import COPY, Node
from pytest_microtvm.session.host_driven import NodeResult
from pytest_microtvm.verify.explain import Explanation, explain_difference


def results(*calls: tuple[str, int]) -> list[NodeResult]:
    """What calls of these functions gave."""
    return [
        NodeResult(Node(index, "", function, (), (index,)), (np.array([value, 0]),), 0.0)
        for index, (function, value) in enumerate(calls)
    ]


def test_the_first_call_that_differs_is_told_from_others_of_the_same_function() -> None:
    reference = results(("add", 1), ("mul", 2), ("add", 3), ("add", 4))
    device = results(("add", 1), ("mul", 2), ("add", 9), ("add", 9))
    assert explain_difference(device, reference, "") == Explanation(
        ("first difference: node 2 add, 1 of 2 elements",), "add", 1
    )


def test_a_copy_is_no_kernel_to_stop_at() -> None:
    found = explain_difference(results((COPY, 1)), results((COPY, 2)), "")
    assert (len(found.notes), found.kernel) == (1, "")


def test_where_else_to_look() -> None:
    found = explain_difference(results(("add", 1)), results(("add", 1)), "the executor")
    assert found.notes[0].endswith("look for the cause in the executor")
    assert found.kernel == ""
