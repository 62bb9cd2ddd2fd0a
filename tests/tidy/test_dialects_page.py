"""`docs/dialects.md` says what the dialect files do."""

from agentcost_collector.normalise.dialects import DIALECTS
from tests.dialects_page import PAGE, page


def test_the_page_on_dialects_is_current():
    """Whoever changes a dialect also runs `make docs`."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_attribute_that_is_read_is_on_the_page():
    """No dialect, scope, sign or attribute is left out."""
    text = PAGE.read_text(encoding="utf-8").replace("\\|", "|")
    for dialect in DIALECTS:
        section = text.split(f'<a id="{dialect.name}"></a>')[1].split("<a id=")[0]
        read = [key for keys in dialect.fields.values() for key in keys]
        said = (*dialect.scopes, *dialect.signature, *read, *dialect.kinds, *dialect.names)
        assert [name for name in said if f"`{name}`" not in section] == []
