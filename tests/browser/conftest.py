"""Pages in headless Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SCREENSHOTS = "MICROTVM_SCREENSHOTS"
"""The environment variable that names a folder to keep pictures of pages in."""


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """The browser."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("chromium is missing; install it: apt-get install chromium")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is missing; install it: pip install playwright"
    )
    with playwright.sync_playwright() as started:
        # Pages are our own, and CI's users are often root, for whom Chromium has no sandbox.
        launched = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def keep_screenshot(tmp_path_factory: pytest.TempPathFactory) -> Callable[[object, str], Path]:
    """Keeps a picture of a page: in the folder that is named, or with the test's own files."""
    named = os.environ.get(SCREENSHOTS)
    folder = Path(named).absolute() if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: object, name: str) -> Path:
        path = folder / f"{name}.png"
        page.screenshot(path=path, full_page=True)  # type: ignore[attr-defined]
        return path

    return keep
