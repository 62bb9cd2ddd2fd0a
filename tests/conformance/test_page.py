"""The page says what the tests are."""

from __future__ import annotations

from tests.conformance.items import ITEMS
from tests.conformance.page import PAGE, evidence_of, functions_in, page


def test_the_page_on_conformance_is_current():
    """Whoever adds a test to the list also runs `make docs`."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_item_has_a_test_that_exists():
    """The numbers are 1 to 60, each with a test that is there."""
    assert [item.number for item in ITEMS] == list(range(1, 61))
    assert all(evidence_of(item) for item in ITEMS)
    for item in ITEMS:
        for name in evidence_of(item):
            file, _, test = name.partition("::")
            assert test in functions_in(file), name
