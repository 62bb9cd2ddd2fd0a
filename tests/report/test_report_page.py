"""Report pages in a real browser: nothing is fetched, nothing fails, all of it can be read."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.cli.command import agentcost
from tests.report.browser import PHONE, WIDE, browser_page, demo_report

REPORTS = ("showback", "chargeback", "tenants", "unit-economics", "unattributed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_a_page_stands_alone(folder, name):
    """The browser asks for the file and nothing else, and has nothing to complain of."""
    address = demo_report(folder, name).as_uri()
    with browser_page(WIDE) as (page, faults):
        page.goto(address)
        assert faults == [address]
        assert page.locator("table").count() >= 1
        assert page.locator("h1").inner_text()


@pytest.mark.slow
def test_the_total_of_the_page_is_that_of_the_ledger(folder):
    """What a reader sees under cost_usd adds up to what SQL says."""
    address = demo_report(folder, "showback").as_uri()
    query = "SELECT sum(cost_usd) FROM steps"
    done = agentcost("sql", query, "--data", folder / "data", "--format", "csv")
    with browser_page(WIDE) as (page, _):
        page.goto(address)
        names = page.locator("#totals thead th").all_inner_texts()
        rows = [row.split("\t") for row in page.locator("#totals tbody tr").all_inner_texts()]
    seen = sum(Decimal(row[names.index("cost usd")]) for row in rows)
    assert seen == Decimal(done.stdout.splitlines()[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_a_page_fits_a_phone(folder, name):
    """Only tables scroll sideways, each by itself."""
    with browser_page(PHONE) as (page, _):
        page.goto(demo_report(folder, name).as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE[0]
        cut = "[...document.querySelectorAll('.scroll')].every(s => s.clientWidth <= innerWidth)"
        assert page.evaluate(cut)


@pytest.mark.slow
def test_a_page_prints(folder):
    """On A4 across, light, with no table cut off at its right."""
    with browser_page(WIDE) as (page, _):
        page.emulate_media(media="print", color_scheme="dark")
        page.goto(demo_report(folder, "chargeback").as_uri())
        page.set_viewport_size({"width": 1046, "height": 718})  # A4 across less margins, 96 dpi
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(255, 255, 255)"
        assert page.evaluate("document.documentElement.scrollWidth") <= 1046
        assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
