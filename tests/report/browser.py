"""Opens reports in Debian's Chromium; run as a module it makes the picture of the README."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.cli.command import FIXTURES, agentcost
from tests.support.recordings import ROOT

WIDE, PHONE = (1280, 900), (360, 740)
PICTURE = ROOT / "docs" / "images" / "report.png"


@contextmanager
def browser_page(size: tuple[int, int]) -> Iterator[tuple[Page, list[str]]]:
    """A page of so many pixels, and what goes wrong on it: requests, errors, messages."""
    chromium = shutil.which("chromium")
    assert chromium, "install Debian's package chromium (`make tools`)"
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: faults.append(request.url))
        try:
            yield page, faults
        finally:
            browser.close()


def demo_report(folder: Path, name: str, *more: str) -> Path:
    """A report as a page, of the ledger that all recordings make."""
    data = folder / "data"
    if not data.exists():
        done = agentcost("replay", FIXTURES, "--data", data)
        assert done.returncode == 0, done.stderr
    page = folder / f"{name}.html"
    query = "SELECT min(day) || '..' || max(day) AS period FROM days"
    period = agentcost("sql", query, "--data", data, "--format", "csv").stdout.split()[1].strip('"')
    arguments = ("--period", period, "--format", "html", "--output", page, "--data", data)
    done = agentcost("report", name, *arguments, *more)
    assert done.returncode == 0, done.stderr
    return page


def main() -> None:
    """Writes PICTURE."""
    with tempfile.TemporaryDirectory() as folder, browser_page(WIDE) as (page, _):
        page.goto(demo_report(Path(folder), "showback").as_uri())
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURE)
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
