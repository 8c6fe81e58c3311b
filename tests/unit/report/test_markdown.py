"""A run as Markdown."""

from pytest_microtvm.report.markdown import MAX_CHARACTERS, MAX_FAILURES, markdown
from tests.unit.report.test_tables import MEASURED, many, record


def test_a_run_is_a_table():
    lines = markdown([record(**MEASURED)], {}).splitlines()
    assert lines[0] == "## microtvm"
    assert lines[2] == "1 model on 1 board: 1 passed; nothing was compared"
    heading, ruler, row = lines[4:7]
    assert heading.count("|") == ruler.count("|") == row.count("|")
    assert "| ✅ passed | - | - |" in row
    assert "| 30,000 |" in row


def test_many_models_and_boards_have_a_matrix_and_their_figures_are_folded():
    lines = markdown(many(("a.tflite", "b.tflite"), ("one", "two", "six"), ("aot", "graph")), {})
    assert "|  | a.tflite | b.tflite |" in lines
    assert "| one | ✅✅ | ✅✅ |" in lines
    assert "<details><summary>All figures</summary>" in lines


def test_names_and_texts_cannot_break_out():
    made = record(model="models/<b>|`x`_*.tflite", **MEASURED)
    text = markdown([made], {"t<i>::x": "```\nof a kind\n```"}, ["<grew> by 3"])
    assert "<b>" not in text
    assert "<i>" not in text
    assert "- &lt;grew&gt; by 3" in text
    assert "````\n```\nof a kind\n```\n````" in text
    row = next(line for line in text.splitlines() if "passed |" in line)
    assert row.replace("\\|", "").count("|") == 14


def test_long_failures_and_many_are_cut():
    text = markdown([record()], {f"t{n}": "x" * 10_000 for n in range(MAX_FAILURES + 5)})
    assert text.count("<details>") == MAX_FAILURES
    assert "... and 5 more" in text
    assert len(text) < MAX_FAILURES * (MAX_CHARACTERS + 500)
