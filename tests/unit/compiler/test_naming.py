from __future__ import annotations

import re

import pytest

from pytest_microtvm.compiler.naming import (
    KERNEL_INCLUDE,
    Namespace,
    module_name,
    sanitize,
    unique_names,
)


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("input_1", "input_1"),
        ("serving_default_x:0", "serving_default_x_0"),
        ("a/b;c  d", "a_b_c_d"),
        ("__x__y__", "x_y"),
        ("Ärger", "Arger"),
        ("温度", "tensor"),
        ("", "tensor"),
        ("3d", "tensor_3d"),
        ("int", "int_0"),
        ("class", "class_0"),
        ("linux", "linux_0"),
        ("INPUT", "INPUT_0"),
        ("input", "input"),
        ("a\n*/ b", "a_b"),
    ],
)
def test_names_become_identifiers(name: str, identifier: str):
    assert sanitize(name, "tensor") == identifier


def test_long_names_are_cut_to_identifiers():
    name = sanitize("layer_" * 200, "tensor")
    assert re.fullmatch(r"[a-z_]{1,80}", name)
    assert not name.endswith("_")


def test_names_that_come_out_alike_are_numbered():
    names = Namespace()
    given = ["a:b", "a/b", "A_B", "a_b_2", "a b"]
    made = [names.unique(name, "tensor") for name in given]
    assert made == ["a_b", "a_b_2", "A_B_3", "a_b_2_2", "a_b_4"]
    assert len({name.lower() for name in made}) == len(given)


def test_taken_names_are_not_handed_out():
    assert Namespace(["workspace"]).unique("Workspace", "tensor") == "Workspace_2"


def test_equal_names_of_tensors_are_told_apart_and_others_kept():
    assert unique_names(["x", "y", "x", "", ""]) == ["x", "y", "x_2", "unnamed", "unnamed_2"]


@pytest.mark.parametrize("header", sorted(KERNEL_INCLUDE.glob("*.h")), ids=lambda h: h.stem)
def test_a_module_is_not_named_as_a_header_beside_its_own(header):
    name = header.stem.removeprefix("tvmgen_")

    assert module_name(name) == f"{name}_0"
    assert module_name(name.upper()) == f"{name.upper()}_0"


def test_a_module_keeps_a_name_that_is_a_word_of_c():
    assert module_name("default") == "default"
    assert module_name("my net") == sanitize("my net", "model")
