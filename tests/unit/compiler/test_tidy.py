"""Generated statements without what says nothing: the same statements all the same."""

from __future__ import annotations

import pytest

from pytest_microtvm.compiler.emit.tidy import WIDTH, tidy

LINES = [
    ("x = y * 1 - 0;", "x = y;"),
    ("x = pixel % 10 * 2 - 0;", "x = pixel % 10 * 2;"),
    ("x = (y * 20 + x) * 1;", "x = (y * 20 + x);"),
    ("x = 1 * y + z / 1;", "x = y + z;"),
    ("x = a + 0 * 2560 + b;", "x = a + b;"),
    ("x = a[0 + i];", "x = a[i];"),
    ("x = 0 + y;", "x = y;"),
    ("x = ((y) * 2 + (4)) * 10;", "x = (y * 2 + 4) * 10;"),
    # What only looks like it.
    ("x = y * 10 + 0x10 - 1;", "x = y * 10 + 0x10 - 1;"),
    ("x = y * 1.5f + 0.25f;", "x = y * 1.5f + 0.25f;"),
    ("x = y + 0.00000000e+00f;", "x = y + 0.00000000e+00f;"),
    ("x = y - 1 * 2;", "x = y - 1 * 2;"),
    ("x = a / 10 * b;", "x = a / 10 * b;"),
    ("x = (int8_t)(value);", "x = (int8_t)(value);"),
    ("(void)x;", "(void)x;"),
    ("x = f(y);", "x = f(y);"),
    ("x = y << 0;", "x = y << 0;"),
]


@pytest.mark.parametrize(("statement", "expected"), LINES)
def test_statements(statement, expected):
    assert tidy(statement) == f"  {expected}\n"


def test_a_loop_that_never_runs_stays_one():
    """As the inner one does here, once the outer one is none."""
    body = """
    for (int32_t n = 0; n < 1; ++n) {
      for (int32_t c = 0; c < n; ++c) {
        f(c);
      }
    }
    """
    assert "for (int32_t c = 0; c < 0; ++c) {" in tidy(body)


def test_a_loop_that_runs_once_is_no_loop():
    body = """
    for (int32_t n = 0; n < 1; ++n) {
      for (int32_t c = 0; c < 4; c += 4) {
        const int8_t *from = input + n * 64 + c;
        if (n) {
          f(from);
        }
      }
    }
    """
    assert tidy(body) == "  const int8_t *from = input;\n  if (0) {\n    f(from);\n  }\n"


def test_a_loop_that_is_left_early_stays():
    body = "for (int32_t n = 0; n < 1; ++n) {\nif (x) {\ncontinue;\n}\nf(n);\n}\n"
    assert "for (int32_t n = 0; n < 1; ++n) {" in tidy(body)


@pytest.mark.parametrize(
    ("others", "taken"),
    [("{\nconst vector w = g();\nf(w);\n}", ()), ("h(w);", ()), ("h();", ("w",))],
)
def test_a_block_stays_where_its_variables_would_meet_others(others, taken):
    body = f"{{\nconst vector w = g();\nf(w);\n}}\n{others}\n"
    assert tidy(body, taken).startswith("  {\n    const vector w = g();\n")


def test_a_block_whose_variables_are_nobody_else_s_goes():
    assert tidy("{\nconst vector w = g();\n}\nh(v);\n") == "  const vector w = g();\n  h(v);\n"


def test_long_statements_are_wrapped():
    call = f"result = function({', '.join(f'argument_number_{i}' for i in range(20))});"
    lines = tidy(f"if (x) {{\n{call}\n}}").splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(line.strip() for line in lines[1:-1]) == call
