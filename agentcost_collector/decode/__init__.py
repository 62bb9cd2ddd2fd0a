"""A group of OTLP payloads to one Spans table. Pure; no Python object per span or attribute.

In: Payloads (protobuf bytes as received). Out: `Decoded`: spans, rejects, one Outcome a payload.
Invariants: every span of a payload that is not malformed is a row of `spans` or of `rejects`;
rows keep the order of arrival; attributes that `Keep` does not name never become text, and
events, status messages, trace state and attributes of links and scopes are never read at all.
"""
