"""Nothing that is added as one file is forgotten in the list beside it."""

import importlib
import re
import tomllib

from agentcost_collector.normalise import dialects
from agentcost_collector.price.load import load_rate_book
from tests.support.recordings import ROOT

FOLDER = ROOT / "agentcost_collector" / "normalise" / "dialects"
CARDS = ROOT / "rate_cards"


def test_every_dialect_file_is_registered_once():
    """A dialect that nobody lists would never be tried."""
    files = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
    modules = [importlib.import_module(f"{dialects.__name__}.{name}") for name in files]
    registered = [next(m for m in modules if m.DIALECT is d) for d in dialects.DIALECTS]
    assert sorted(module.__name__.rpartition(".")[2] for module in registered) == files
    names = [dialect.name for dialect in dialects.DIALECTS]
    assert sorted(names) == files, "a dialect is called as its file is"


def test_every_rate_card_is_a_yaml_file_that_loads_and_is_in_the_wheel():
    """A card with another ending, or outside the wheel, would silently price nothing."""
    files = sorted(p.name for p in CARDS.iterdir() if not p.name.startswith("."))
    files.remove("released.json")
    assert files
    assert all(re.fullmatch(r"[a-z0-9-]+\.yaml", name) for name in files)
    assert load_rate_book([CARDS])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {"rate_cards": "agentcost_collector/rate_cards"}
