"""`agentcost token`: made and shown once, listed without secrets, revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import agentcost, refusal


def test_create_list_revoke(tmp_path: Path) -> None:
    """The token is the only line of stdout; the list shows all of it but that; a revoked one
    stays in the list as such."""
    data = tmp_path / "data"
    made = agentcost(
        *("token", "create", "shop backend", "--scope", "ingest", "--scope", "read"),
        *("--tenant", "acme", "--environment", "prod", "--expires", "90d", "--data", data),
    )
    assert (made.returncode, made.stdout.count("\n")) == (0, 1)
    text = made.stdout.strip()
    _, token_id, secret = text.split("_", 2)
    assert secret not in made.stderr
    listed = agentcost("token", "list", "--data", data)
    headings, row = listed.stdout.splitlines()
    assert headings.split()[:3] == ["id", "name", "state"]
    assert row.split()[:7] == [token_id, "shop", "backend", "valid", "ingest,read", "acme", "prod"]
    assert agentcost("token", "revoke", token_id, "--data", data).returncode == 0
    listed = agentcost("token", "list", "--data", data)
    assert listed.stdout.splitlines()[1].split()[3] == "revoked"
    for path in data.rglob("*"):
        assert secret.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create", "x", "--expires", "soon"], "should be like 90d"),
        (["create", "x", "--expires", "2020-01-01T00:00:00Z"], "is in the past"),
        (["create", "x", "--expires", "2099-01-01T00:00:00"], "no time zone"),
        (["create", "x", "--tenant", "a\nb"], "tenant: must be 1 to 128 printable"),
        (["create", ""], "name: must be 1 to 128 printable"),
        (["revoke", "0123"], "is no token of"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arguments: list[str], says: str) -> None:
    """One sentence, and no token more."""
    assert says in refusal("token", *arguments, "--data", tmp_path)
    assert agentcost("token", "list", "--data", tmp_path).stdout.count("\n") == 1
