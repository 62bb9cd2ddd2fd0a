"""The doors through which alerts leave: apprise addresses and an Alertmanager.

What an address holds besides its scheme may be a secret: no name and no message of a door shows it.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from agentcost_collector.alert.config import Config
from agentcost_collector.alert.record import Raised
from agentcost_collector.model.errors import ConfigError, TransientError

_ACTIVE_NS = 24 * 3600 * 10**9  # an Alertmanager lets go of what nobody resolved


@dataclass(frozen=True)
class Door:
    """A place that takes alerts."""

    name: str
    """Without secrets; where in the settings it stands."""
    tell: Callable[[Sequence[Raised]], str]
    """Sends them as one message; what was answered. TransientError where it did not take them."""
    takes_resolved: bool
    """Whether it also wants to know what is over."""


def doors_of(config: Config) -> list[Door]:
    """All that are set. ConfigError where an address cannot be used, or apprise is not there."""
    doors = [_apprise(number, url) for number, url in enumerate(config.urls, start=1)]
    if config.alertmanager:
        address = config.alertmanager
        timeout_s = config.timeout_s
        doors.append(
            Door("alertmanager", lambda told: _post(address, told, timeout_s), takes_resolved=True)
        )
    return doors


def _apprise(number: int, url: str) -> Door:
    try:
        import apprise
    except ImportError as missing:
        raise ConfigError(
            "alerts.urls needs apprise: install agentcost-collector[alerts]"
        ) from missing
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it names addresses
    scheme = re.match(r"[a-z0-9]+", url.lower())
    name = f"{scheme[0] if scheme else 'address'} (alerts.urls {number})"
    with warnings.catch_warnings():  # its modules are loaded here, and warn of each other
        warnings.simplefilter("ignore")
        known = apprise.Apprise.instantiate(url) is not None
    if not known:
        raise ConfigError(f"{name}: not an address that apprise knows; its value is not shown")

    def tell(told: Sequence[Raised]) -> str:
        target = apprise.Apprise()
        target.add(url)
        critical = any(raised.alert.severity == "critical" for raised in told)
        kind = apprise.NotifyType.FAILURE if critical else apprise.NotifyType.WARNING
        taken = target.notify(body=_text(told), title=_title(told), notify_type=kind)
        if not taken:
            raise TransientError(f"{name}: did not take the message")
        return "taken"

    return Door(name, tell, takes_resolved=False)


def _title(told: Sequence[Raised]) -> str:
    first = told[0].alert
    more = f" and {len(told) - 1} more" if len(told) > 1 else ""
    return f"agentcost {first.severity}: {first.rule} {first.scope}{more}"


def _text(told: Sequence[Raised]) -> str:
    return "\n\n".join(
        f"[{a.severity}] {a.summary}\nOwner: {a.owner}. What to do: {a.what_to_do}"
        for a in (raised.alert for raised in told)
    )


def _post(address: str, told: Sequence[Raised], timeout_s: float) -> str:
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/api/v2/alerts", "", ""))
    headers = {"Content-Type": "application/json"}
    if parts.username:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    body = json.dumps([_posted(raised) for raised in told]).encode()
    try:
        request = urllib.request.Request(url, body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return f"HTTP {answer.status}"
    except urllib.error.HTTPError as refused:
        refused.close()
        raise TransientError(f"alertmanager: answered HTTP {refused.code}") from None
    except (OSError, HTTPException, ValueError) as fault:
        reason = getattr(getattr(fault, "reason", fault), "strerror", None)
        raise TransientError(f"alertmanager: {reason or type(fault).__name__}") from None


def _posted(raised: Raised) -> dict[str, Any]:
    alert = raised.alert
    end_ns = raised.resolved_ns or raised.at_ns + _ACTIVE_NS
    return {
        "labels": {
            "alertname": f"agentcost_{alert.rule}",
            "scope": alert.scope,
            "period": alert.period,
            "level": alert.level,
            "severity": alert.severity,
            "owner": alert.owner,
        },
        "annotations": {
            "summary": alert.summary,
            "what_to_do": alert.what_to_do,
            "figures": json.dumps(dict(alert.figures)),
        },
        "startsAt": _instant(raised.at_ns),
        "endsAt": _instant(end_ns),
    }


def _instant(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")
