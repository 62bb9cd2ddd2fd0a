"""The secret of user ids is read once, or named in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.user_id_key import read_user_id_key
from tests.cli.command import refusal


def test_the_secret_is_what_the_file_holds(tmp_path: Path) -> None:
    """White space around it is no part of it; without a file there is none."""
    path = tmp_path / "key"
    path.write_bytes(b" 0123456789abcdef\n")
    assert read_user_id_key(path) == b"0123456789abcdef"
    assert read_user_id_key(None) is None


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), (b"short\n", "16 bytes or more")]
)
def test_what_cannot_be_a_secret_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    """A file that is missing or too short, with its path; the collector does not start."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        read_user_id_key(path)
    told = {"AGENTCOST_DECODE__USER_ID_KEY_FILE": str(path)}
    assert str(path) in refusal("serve", "--data", tmp_path / "data", **told)


def test_content_cannot_be_asked_for(tmp_path: Path) -> None:
    """A prefix that is content itself is refused with its name."""
    told = {"AGENTCOST_KEEP": "app.,gen_ai.input.messages"}
    says = refusal("serve", "--data", tmp_path / "data", **told)
    assert "gen_ai.input.messages holds content" in says
