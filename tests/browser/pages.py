"""Opens pages, and notes what browsers complain about."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe

WIDE, PHONE = (1280, 900), (390, 844)
SERIOUS = ("serious", "critical")
TIMEOUT_MS = 30_000


@dataclass
class Opened:
    """A page that is open.

    Attributes:
        page: Playwright's.
        session: Of the browser's own protocol.
        complaints: Everything on its console, and its errors.
        requests: What it asked for beside itself.
    """

    page: Any
    session: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def cpu_s(self) -> float:
        """How long the page's main thread has computed since it was opened."""
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return float({each["name"]: each["value"] for each in metrics}["TaskDuration"])

    def findings(self) -> list[str]:
        """What axe-core has against the page that is serious."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {node['html'][:160]}"
            for each in found
            if each["impact"] in SERIOUS
            for node in each["nodes"]
        ]

    def note_request(self, address: str, own: str) -> None:
        """Take what the page asked for."""
        if address.partition("#")[0] != own and not address.startswith("data:"):
            self.requests.append(address)

    def texts(self, selector: str) -> list[str]:
        """What the elements of a kind show."""
        return list(self.page.locator(selector).all_inner_texts())


@contextlib.contextmanager
def opened(
    browser: Any,
    path: Path,
    *,
    scheme: str = "light",
    size: tuple[int, int] = WIDE,
    hash_: str = "",
) -> Iterator[Opened]:
    """Open a page without a network, and wait until its charts are drawn.

    Args:
        browser: Playwright's.
        path: The page.
        scheme: What the user prefers, "light" or "dark".
        size: Of the window.
        hash_: The part of the page's address after `#`.
    """
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    try:
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        found = Opened(page, session)
        page.on("console", lambda message: found.complaints.append(message.text))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        address = path.as_uri() + (f"#{hash_}" if hash_ else "")
        page.on("request", lambda request: found.note_request(request.url, path.as_uri()))
        page.goto(address)
        page.wait_for_selector("html[data-drawn=yes]", timeout=TIMEOUT_MS)
        yield found
    finally:
        context.close()
