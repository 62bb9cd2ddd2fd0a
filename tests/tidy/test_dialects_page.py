"""The page of dialects is made from the dialect files."""

from tests.dialects_page import PAGE, page


def test_the_page_is_current():
    """`python -m tests.dialects_page` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()
