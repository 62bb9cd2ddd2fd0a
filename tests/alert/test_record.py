"""Raised once, sent until it is taken."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import time
from dataclasses import replace
from datetime import datetime

from agentcost_collector.alert.config import Config
from agentcost_collector.alert.doors import doors_of
from agentcost_collector.alert.record import Record
from agentcost_collector.alert.rules import Alert
from agentcost_collector.alert.send import Sender
from tests.alert.doors import alertmanager, alerts_at, dripping, inbox, post_office
from tests.cli.command import agentcost

ALERT = Alert(
    rule="budget",
    scope="search",
    period="2026-03",
    level="0.5",
    severity="warning",
    owner="ada",
    figures={"spent": "5.000000000001"},
    summary="Half of it is spent.",
    what_to_do="Look.",
)
SECOND = 10**9
AT = 1_772_366_400 * SECOND


def raised(record, *alerts, rules=("budget",), doors=(), at=AT):
    return [r.alert for r in record.raise_new(alerts, rules, doors, at)]


def test_once_per_rule_scope_period_and_level(tmp_path):
    """Again is nothing, a higher level is new, a lower one after it is not; another period, scope
    or rule is; another process and a restart know it."""
    record, nightly = Record(tmp_path), Record(tmp_path)
    assert raised(record, ALERT) == [ALERT]
    assert raised(record, ALERT) == []
    assert raised(nightly, ALERT) == []
    higher = replace(ALERT, level="1")
    assert raised(nightly, higher) == [higher]
    assert raised(record, replace(ALERT, level="0.8")) == []
    for change in ({"period": "2026-04"}, {"scope": "chat"}, {"rule": "burn_rate"}):
        other = replace(ALERT, **change)
        assert raised(record, other) == [other]
        assert raised(Record(tmp_path), other) == []


def test_what_is_over_is_noted_and_does_not_come_back(tmp_path):
    """Only by a rule that was looked at; raising it anew in its period is nothing."""
    record = Record(tmp_path)
    raised(record, ALERT)
    raised(record, rules=("unpriced",), at=AT + 1)
    assert record.raised[0].resolved_ns is None
    raised(record, at=AT + 2)
    assert record.raised[0].resolved_ns == AT + 2
    assert raised(record, ALERT, at=AT + 3) == []


def test_a_torn_line_is_only_raised_again(tmp_path):
    """A crash within a line loses that line and no other."""
    raised(Record(tmp_path), ALERT)
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    record = Record(tmp_path)
    assert raised(record, ALERT) == [ALERT]
    assert raised(Record(tmp_path), ALERT) == []


def test_a_dead_door_gets_it_later_and_once(tmp_path):
    """What a door refuses waits, other doors have it at once, and a restart does not forget."""
    with inbox() as hook, inbox() as manager:
        config = Config(
            urls=(f"json://{hook.address}/hook",),
            alertmanager=f"http://ada:s%40cret@{manager.address}",
        )
        doors = doors_of(config)
        record = Record(tmp_path)
        raised(record, ALERT, doors=[door.name for door in doors])
        hook.status = 503
        sender = Sender(tmp_path, doors, 30)
        refused = sender.send(AT)
        assert list(refused) == ["json (alerts.urls 1)"]
        hook.status = 200
        again = Sender(tmp_path, doors, 30)
        assert again.send(AT) == {}
        assert again.send(AT) == {}
        assert len(hook.got) == 2
        message = hook.got[1][2]["message"]
        assert all(text in message for text in (ALERT.summary, "ada", ALERT.what_to_do))
        raised(record, at=AT + 60 * SECOND)
        assert sender.send(AT) == {}
        assert len(hook.got) == 2  # it is over: told to the Alertmanager only
    (path, credentials, (first,)), (_, _, (over,)) = manager.got
    assert (path, credentials) == ("/api/v2/alerts", "Basic YWRhOnNAY3JldA==")
    assert (first["startsAt"], first["endsAt"]) == ("2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z")
    assert over["endsAt"] == "2026-03-01T12:01:00Z"
    assert over["labels"] == first["labels"]
    assert first["labels"]["alertname"] == "agentcost_budget"


def test_a_door_that_hangs_holds_up_no_other(tmp_path):
    """One that takes the connection and never answers is given up after the time-out, one that
    answers drop by drop too; the next gets its alert meanwhile. It is not told twice at a time, and
    gets the alert when it answers again."""
    with dripping() as slow, socket.create_server(("127.0.0.1", 0)) as silent, inbox() as hook:
        urls = (f"json://{slow.address}/", f"json://{hook.address}/")
        manager = f"http://127.0.0.1:{silent.getsockname()[1]}"
        config = Config(urls=urls, alertmanager=manager, timeout_s=0.5)
        doors = doors_of(config)
        raised(Record(tmp_path), ALERT, doors=[door.name for door in doors])
        sender = Sender(tmp_path, doors, config.timeout_s)
        began = time.monotonic()
        assert sorted(sender.send(AT)) == ["alertmanager", "json (alerts.urls 1)"]
        assert len(hook.got) == 1
        assert sorted(sender.send(AT, ["json (alerts.urls 1)"])) == ["json (alerts.urls 1)"]
        assert time.monotonic() - began < 10
        assert slow.connections == 1
        slow.ended.set()
        while sender.send(AT, ["json (alerts.urls 1)"]):
            pass
        assert len(hook.got) == slow.connections == 1
    record = Record(tmp_path)
    record.refresh()
    assert record.raised[0].sent == {(door.name, "raised") for door in doors[:2]}


def test_what_can_not_be_raised_again_is_forgotten(tmp_path):
    """35 days after it was raised, a budget's 400, and never before all doors have it; what is kept
    is raised no second time, keeps its number, and is known to whoever had the file open."""
    day = 24 * 3600 * SECOND
    record, other = Record(tmp_path), Record(tmp_path)
    trace = replace(ALERT, rule="runaway_tool")
    waits = replace(trace, scope="waits")
    last = replace(trace, scope="last")
    raised(record, trace)
    raised(record, ALERT)
    raised(record, waits, rules=(), doors=["slack"])
    raised(record, last, rules=(), at=AT + day)
    other.refresh()
    assert record.forget(["slack"], AT + 35 * day - 1) == 0
    before = (tmp_path / "alerts.jsonl").stat().st_size
    assert record.forget(["slack"], AT + 35 * day) == 1
    assert (tmp_path / "alerts.jsonl").stat().st_size < before
    assert raised(other, ALERT, waits, last, rules=()) == []
    assert [r.number for r in other.raised] == [2, 3, 4]
    other.note_sent(other.raised[1:2], "slack", "raised", AT)
    assert record.forget(["slack"], AT + 399 * day) == 2
    assert [r.alert for r in record.raised if r.number == 2] == [ALERT]
    assert record.forget(["slack"], AT + 400 * day) == 0  # the last one is never forgotten
    assert raised(record, trace, rules=()) == [trace]
    assert [r.number for r in record.raised] == [2, 3]


def test_mail_arrives(tmp_path):
    """By SMTP, with what happened, whose it is and what to do."""
    with post_office() as (port, letters):
        address = f"mailto://127.0.0.1:{port}?from=agentcost@example.com&to=ada@example.com"
        doors = doors_of(Config(urls=(address,)))
        raised(Record(tmp_path), ALERT, doors=[door.name for door in doors])
        assert Sender(tmp_path, doors, 30).send(AT) == {}
        (letter,) = letters
    message = email.message_from_string(letter, policy=email.policy.default)
    assert message["To"].addresses[0].addr_spec == "ada@example.com"
    assert message["Subject"] == "agentcost warning: budget search"
    text = message.get_body(("plain",)).get_content()
    assert all(words in text for words in (ALERT.summary, "Owner: ada", ALERT.what_to_do))


def test_a_real_alertmanager_takes_them(tmp_path):
    """What is posted is there by its own API: labels, figures and times; when it is over, it is
    gone."""
    with alertmanager(tmp_path) as address:
        doors = doors_of(Config(alertmanager=f"http://{address}"))
        record, sender = Record(tmp_path), Sender(tmp_path, doors, 30)
        now = time.time_ns() // SECOND * SECOND
        raised(record, ALERT, doors=["alertmanager"], at=now)
        assert sender.send(now) == {}
        (found,) = alerts_at(address)
        assert found["labels"] == {
            "alertname": "agentcost_budget",
            "scope": "search",
            "period": "2026-03",
            "level": "0.5",
            "severity": "warning",
            "owner": "ada",
        }
        assert json.loads(found["annotations"]["figures"]) == ALERT.figures
        assert datetime.fromisoformat(found["startsAt"]).timestamp() == now // SECOND
        raised(record, at=now)
        assert sender.send(now) == {}
        assert alerts_at(address) == []


def test_the_test_alert_says_what_each_door_answered(tmp_path):
    """One alert through every door, exit code 1 where one refuses; no secret of an address is
    shown, whether it works, is down or is wrong."""
    with inbox() as hook, inbox() as manager:
        settings = {
            "AGENTCOST_ALERTS__URLS": f'["json://bob:hunter2@{hook.address}/tok3n"]',
            "AGENTCOST_ALERTS__ALERTMANAGER": f"http://ada:hunter2@{manager.address}",
        }
        done = agentcost("alert", "test", **settings)
        assert done.returncode == 0, done.stdout
        assert "json (alerts.urls 1)" in done.stdout
        assert "HTTP 200" in done.stdout
        assert (len(hook.got), len(manager.got)) == (1, 1)
        hook.status = manager.status = 500
        refused = agentcost("alert", "test", **settings)
        assert refused.returncode == 1
        assert "HTTP 500" in refused.stdout
    down = agentcost("alert", "test", **settings)
    wrong = [
        agentcost("alert", "test", AGENTCOST_ALERTS__URLS='["nosuch://hunter2/tok3n"]'),
        agentcost("alert", "test", AGENTCOST_ALERTS__ALERTMANAGER="ftp://ada:hunter2@x/tok3n"),
        agentcost("alert", "test", AGENTCOST_ALERTS__URLS='{"hunter2": "tok3n"}'),
    ]
    assert down.returncode == 1
    assert [done.returncode for done in wrong] == [2, 2, 2]
    for each in (done, refused, down, *wrong):
        assert not any(s in each.stdout + each.stderr for s in ("hunter2", "tok3n"))


def test_the_list_shows_what_was_raised_and_not_sent(tmp_path):
    """As CSV, JSON and a table, with the doors that do not have it yet."""
    raised(Record(tmp_path), ALERT, doors=["slack (alerts.urls 1)"])
    done = agentcost("alert", "list", "--data", tmp_path, "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert '"slack (alerts.urls 1)"' in done.stdout
    assert "Half of it is spent." in done.stdout
