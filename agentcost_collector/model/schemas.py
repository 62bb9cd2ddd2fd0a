"""Arrow schemas of the tables that the stages hand to each other and that the ledger keeps.

    SPANS    row = one span as received: structure and allow-listed attributes, no content
    FACTS    row = one span in one vocabulary: what normalise understood of it
    STEPS    row = one billable step: who, what, how much
    CHARGES  row = a step with its price: what should be booked
    ENTRIES  row = a booked charge or its reversal; what the `ledger` table keeps
    REJECTS  row = a span set aside, with the reason
    VERDICTS row = what the walk decided about one span
    USES     row = what like steps of a period add up to; what shared costs go by

All times are UTC. `docs/schema.md` describes every public column in users' words.
"""

from __future__ import annotations

import pyarrow as pa

from agentcost_collector.model.access import PINNED_TAGS
from agentcost_collector.model.money import QUANTITY, USD

_TEXT = pa.string()
_CODED = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("us", tz="UTC")
_COUNT = pa.int64()

ATTRIBUTES = pa.map_(pa.string(), pa.string())
LINKS = pa.list_(pa.struct([("trace_id", pa.string()), ("span_id", pa.string())]))

SPANS = pa.schema(
    [
        pa.field("trace_id", _TEXT, nullable=False),  # 32 lower-case hex digits
        pa.field("span_id", _TEXT, nullable=False),  # 16 lower-case hex digits
        ("parent_span_id", _TEXT),  # NULL for a root
        ("kind", pa.int8()),  # OTLP SpanKind: 0 unspecified 1 internal 2 server 3 client 4/5 queue
        ("name", _TEXT),  # cut at 256 characters
        pa.field("start_ns", pa.int64(), nullable=False),  # Unix nanoseconds
        pa.field("end_ns", pa.int64(), nullable=False),
        ("status", pa.int8()),  # OTLP StatusCode: 0 unset 1 ok 2 error
        ("scope_name", _CODED),
        ("scope_version", _CODED),
        ("resource", _CODED),  # JSON object of the kept resource attributes, keys sorted
        ("attributes", ATTRIBUTES),  # kept span attributes, sorted by key, values as text
        ("links", LINKS),
        ("dropped_attributes", pa.int32()),  # by the SDK, or by us as too large or too deep
        ("received_at_ns", pa.int64()),
    ]
)
"""Text of a value: strings as they are, integers and doubles in shortest decimal form, booleans
`true`/`false`, arrays and maps as JSON."""

REJECTS = pa.schema(
    [
        ("reason", _TEXT),  # RejectReason
        ("detail", _TEXT),
        ("trace_id", _TEXT),  # hex of whatever bytes came, at most 32
        ("span_id", _TEXT),
        ("start_ns", pa.uint64()),  # as on the wire
        ("end_ns", pa.uint64()),
        *(field for field in SPANS if field.nullable),
    ]
)
"""What of a span can be kept although the span cannot: the columns of SPANS, with ids and times as
they came."""

TAGS = ("feature", "team", "workload_class", "tenant", "environment", "parent_run_id")

_IDENTITY = [
    pa.field("trace_id", _TEXT, nullable=False),
    pa.field("span_id", _TEXT, nullable=False),
    ("parent_span_id", _TEXT),
    pa.field("step_id", _TEXT, nullable=False),  # unique in the ledger
    ("kind", _TEXT),  # llm embedding retrieval rerank tool agent compute other
    ("name", _TEXT),
    ("path", _TEXT),  # span names from the root, joined by ";"
    ("started_at", _TIME),
    ("ended_at", _TIME),
    ("duration_ms", pa.decimal128(18, 3)),
    ("status", _TEXT),  # unset ok error
    ("service", _TEXT),
]
_PAYER = [
    *((name, _TEXT) for tag in TAGS for name in (tag, f"{tag}_from")),
    ("unattributed_reason", _TEXT),  # UnattributedReason; NULL where everything required is there
    ("labels", _TEXT),  # JSON object of further attributes, keys sorted; NULL for none
]
_DOER = [
    (name, _TEXT)
    for name in (
        "owner_team",
        "owner_feature",
        "owner_service",
        "session_id",
        "user_id",
        "agent",
        "agent_version",
        "workflow",
    )
]
_WHAT = [
    (name, _TEXT)
    for name in (
        "provider",
        "model",
        "requested_model",
        "tool",
        "operation",
        "target",
        "service_tier",
        "region",
        "account",  # whom the provider sends the invoice to
        "pricing_context",  # JSON object of further facts that decide a price, keys sorted
        "response_id",
        "dialect",
    )
]
TOKENS = (
    "input_tokens",  # uncached text input
    "cache_read_tokens",
    "cache_write_short_tokens",
    "cache_write_long_tokens",
    "output_tokens",  # visible and reasoning
    "reasoning_tokens",  # part of output_tokens
    "input_audio_tokens",
    "input_image_tokens",
    "output_audio_tokens",
    "output_image_tokens",
)
_HOW_MUCH = [
    *((name, _COUNT) for name in TOKENS),
    ("units", QUANTITY),
    ("unit", _TEXT),  # what `units` counts; a leaf kind of model/units.py
    ("gpu_seconds", QUANTITY),
    ("cpu_seconds", QUANTITY),
    ("gib_seconds", QUANTITY),
    ("request_bytes", _COUNT),
    ("response_bytes", _COUNT),
    ("usage_role", _TEXT),  # own residual; NULL where no usage was reported
    ("usage_rule", _TEXT),  # how the disjoint token columns were found
    ("usage_note", _TEXT),  # what is known to be missing or assumed, joined by ","
    ("reported_cost_usd", USD),  # what the emitter says it cost; never added to cost_usd
]

STEPS = pa.schema([*_IDENTITY, *_PAYER, *_DOER, *_WHAT, *_HOW_MUCH])

_FLAG = pa.bool_()

FACTS = pa.schema(
    [
        ("kind", pa.int8()),  # index into model.kinds.KINDS
        ("dialect", _CODED),
        ("process", pa.int32()),  # equal for spans of one process (same resource)
        ("service", _CODED),
        *(
            (name, _CODED)
            for name in (
                "provider",
                "model",
                "bare_model",  # family name, to compare twins
                "bare_requested_model",
                "requested_model",
                "response_id",
                "tool",
                "tool_call_id",
                "operation",
                "target",
                "service_tier",
                "region",
                "account",
                "pricing_context",
                "session_id",
                "user_id",
                "agent",
                "agent_version",
                "workflow",
                "host",
            )
        ),
        # each tag as set on the span, copied from baggage, or set on the resource
        *((f"{tag}{at}", _CODED) for tag in TAGS for at in ("", "_baggage", "_resource")),
        *((f"{tag}_pinned", _CODED) for tag in PINNED_TAGS),  # by the sender's credential
        ("input_total", _COUNT),  # all input tokens, cached or not; NULL where not reported
        ("output_total", _COUNT),  # all output tokens, reasoning included
        *((name, _COUNT) for name in TOKENS),
        ("usage_rule", _CODED),
        ("usage_note", pa.int32()),  # bits of model.notes.Note
        ("units", QUANTITY),
        ("unit", _CODED),
        ("gpu_seconds", QUANTITY),
        ("cpu_seconds", QUANTITY),
        ("gib_seconds", QUANTITY),
        ("request_bytes", _COUNT),
        ("response_bytes", _COUNT),
        ("http_status", _COUNT),
        ("request_kind", pa.int8()),  # of the model call that the URL names, OTHER; NULL: no URL
        ("reported_cost_usd", USD),
        ("sums_this_call", _FLAG),  # as a carrier, reports exactly its own call
        ("running_total", _FLAG),  # as a carrier, reports earlier runs of its agent too
        ("writes_on_caller", _FLAG),  # usage was written here by a library that was called
        ("last_call_only", _FLAG),  # with a tool beneath, reports the last of several calls
        ("tools_offered", _FLAG),
        ("own_units", _FLAG),  # units were counted with attributes of our own
        ("call_needs_usage", _FLAG),  # without usage, no evidence of a call
        ("loses_cache_write", _FLAG),
    ]
)
"""One row per span, in the order of the SPANS they were read from: what normalise understood."""

MONEY = (
    "cost_usd",
    "input_cost_usd",
    "cache_cost_usd",
    "output_cost_usd",
    "unit_cost_usd",
    "compute_cost_usd",
    "list_cost_usd",
)
CHARGES = pa.schema(
    [
        *STEPS,
        *((name, USD) for name in MONEY),
        ("cost_status", _TEXT),  # CostStatus
        ("cost_reason", _TEXT),  # CostReason, NULL where fully priced
        ("currency", _TEXT),  # of the rate card; NULL where unpriced, or of several cards
        ("original_cost", USD),  # cost_usd in that currency, before conversion
        ("rate_id", _TEXT),  # rate card entry and price date that priced it
        ("card_digest", _TEXT),  # sha256 of the rate card's canonical form, first 16 hex digits
    ]
)
"""Sorted by (trace_id, started_at, step_id)."""

ENTRIES = pa.schema(
    [
        *CHARGES,
        pa.field("sign", pa.int8(), nullable=False),  # +1 booked, -1 reversal
        ("entry_reason", _TEXT),  # first late restated
        ("booked_at", _TIME),
        pa.field("journal", _TEXT, nullable=False),  # as in data file names
        pa.field("batch_seq", pa.int64(), nullable=False),
        pa.field("row_no", pa.int32(), nullable=False),
        ("date", pa.date32()),  # partition: UTC day of ended_at
    ]
)
"""Money and quantities carry the sign, so SUM over entries is always right. `journal`, `batch_seq`
and `row_no` name an entry, also after its data file was rewritten."""

SIGNED = (
    *TOKENS,
    "units",
    "gpu_seconds",
    "cpu_seconds",
    "gib_seconds",
    "request_bytes",
    "response_bytes",
    "duration_ms",
    "reported_cost_usd",
    "original_cost",
    *MONEY,
)
"""Columns of ENTRIES that are negated in a reversal."""

ALLOCATED = "allocated"
"""Kind of the charges that share a cost out; no span carries them."""

PAYER_TAGS = tuple(tag for tag in TAGS if tag != "parent_run_id")
SHARED_BY = (
    *PAYER_TAGS,
    "kind",
    "service",
    "provider",
    "model",
    "tool",
    "operation",
    "target",
    "service_tier",
    "region",
    "account",
    "agent",
    "workflow",
    "owner_team",
    "owner_feature",
    "owner_service",
    "unit",
    "cost_status",
)
"""Columns of steps by which a shared cost can choose those that it is shared by."""

DRIVERS = ("cost", "list_cost", "tokens", "calls", "gpu_seconds", "units")
USES = pa.schema([*((name, _TEXT) for name in SHARED_BY), *((name, USD) for name in DRIVERS)])
"""Row = steps of a period that are alike in SHARED_BY, and what they add up to: US dollars, tokens,
steps, seconds, units. Drivers are NULL where no step has them."""

VERDICTS = pa.schema(
    [
        pa.field("trace_id", _TEXT, nullable=False),
        pa.field("span_id", _TEXT, nullable=False),
        ("parent_span_id", _TEXT),  # where the walk placed it
        ("inferred_parent", pa.bool_()),  # placed by time, not by its parent id
        ("name", _TEXT),
        ("service", _TEXT),
        ("kind", _TEXT),
        ("dialect", _TEXT),
        ("verdict", _TEXT),  # Verdict
        ("reason", _TEXT),  # UsageReason
        ("survivor_span_id", _TEXT),  # who is counted instead
        ("input_tokens", _COUNT),  # what this span reported, all input
        ("output_tokens", _COUNT),
    ]
)
