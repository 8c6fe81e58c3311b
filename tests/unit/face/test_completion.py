"""Completion of the names in comma lists."""

import argparse

import pytest

from pytest_microtvm.face.options import _Later, complete_names


@pytest.mark.parametrize(
    ("option", "prefix", "found"),
    [
        ("board", "qemu_x", ["qemu_x86"]),
        ("board", "host,qemu_x", ["host,qemu_x86"]),
        ("board", "+ho", ["+host"]),
        ("board", "+host,qemu_x", ["+host,qemu_x86"]),
        ("board", "avail", ["available"]),
        ("executor", "g", ["graph"]),
        ("platform", "bare", ["baremetal"]),
        ("board", "nothing_", []),
    ],
)
def test_names_are_completed(option, prefix, found):
    parser = argparse.ArgumentParser()
    action = parser.add_argument(f"--{option}", dest=f"microtvm_{option}", action=_Later)
    assert action.completer is complete_names  # type: ignore[attr-defined]
    assert complete_names(prefix, action=action, parsed_args=None) == found
