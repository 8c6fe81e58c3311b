"""A run as Markdown: for a page of GitHub's, and a note at a merge request of GitLab's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_microtvm.report.names import short_names
from pytest_microtvm.report.tables import figure, milliseconds, shown_figures, summary

if TYPE_CHECKING:
    from pytest_microtvm.measure.records import Record

SIGNS = {"passed": "✅", "failed": "❌", "error": "💥", "skipped": "⏭️", "built": "🔨"}
"""By outcome."""
MAX_FAILURES = 20
"""How many failures are told in full."""
MAX_CHARACTERS = 3_000
"""Of the text of one failure."""


def markdown(
    records: Sequence[Record],
    failures: Mapping[str, str],
    changes: Sequence[str] = (),
) -> str:
    """Write a run down.

    Args:
        records: Of the run.
        failures: What each test that failed says, by its id.
        changes: What is not as in the baseline, a line each.
    """
    lines = ["## microtvm", "", _plain(summary(records)) if records else "no model was run", ""]
    if records:
        lines += [*_matrix(records), *_table(records)]
    if changes:
        lines += ["### Against the baseline", "", *(f"- {_plain(line)}" for line in changes), ""]
    for number, (test, text) in enumerate(failures.items()):
        if number == MAX_FAILURES:
            lines += [f"... and {len(failures) - MAX_FAILURES} more", ""]
            break
        lines += _failure(test, text)
    return "\n".join(lines).rstrip() + "\n"


def _matrix(records: Sequence[Record]) -> Iterator[str]:
    """Models × boards, where there are several of both."""
    names = short_names(record.model for record in records)
    signs: dict[tuple[str, str], str] = {}
    for record in records:
        key = (names[record.model], record.board)
        signs[key] = signs.get(key, "") + SIGNS[record.outcome]
    models, boards = (list(dict.fromkeys(key[part] for key in signs)) for part in range(2))
    if len(models) < 2 or len(boards) < 2:
        return
    yield _row(["", *(_plain(model) for model in models)])
    yield _row(["---", *([":-:"] * len(models))])
    for board in boards:
        yield _row([_plain(board), *(signs.get((model, board), "") for model in models)])
    yield ""


def _table(records: Sequence[Record]) -> Iterator[str]:
    names = short_names(record.model for record in records)
    headings = ["model", "board", "executor", "tests", "verdict", "mismatched", "check"]
    figures = shown_figures(records)
    numbers = [*(heading.lower() for heading in figures), "latency"]
    is_long = len(records) > 10
    if is_long:
        yield from ("<details><summary>All figures</summary>", "")
    yield _row([*headings, *numbers])
    yield _row([*(["---"] * len(headings)), *(["--:"] * len(numbers))])
    for record in records:
        mismatched = f"{record.mismatched:,} of {record.elements:,}" if record.elements else "-"
        yield _row(
            [
                _plain(names[record.model]),
                _plain(record.board),
                record.executor,
                f"{SIGNS[record.outcome]} {record.outcome}",
                record.verdict or "-",
                mismatched,
                _plain(record.model_check),
                *(figure(record, name) for name in figures.values()),
                milliseconds(record),
            ]
        )
    yield ""
    if is_long:
        yield from ("</details>", "")


def _failure(test: str, text: str) -> Iterator[str]:
    cut = text if len(text) <= MAX_CHARACTERS else f"[...]\n{text[-MAX_CHARACTERS:]}"
    fence = "`" * max(3, 1 + _longest_run(cut, "`"))
    yield f"<details><summary>{SIGNS['failed']} {_plain(test)}</summary>"
    yield from ("", fence, *cut.splitlines(), fence, "", "</details>", "")


def _longest_run(text: str, character: str) -> int:
    longest = run = 0
    for each in text:
        run = run + 1 if each == character else 0
        longest = max(longest, run)
    return longest


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """A text that Markdown and HTML leave as it is: names of models may be anything."""
    for special in "\\`*_[]|~":
        text = text.replace(special, f"\\{special}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
