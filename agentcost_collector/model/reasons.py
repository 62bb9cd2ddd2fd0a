"""Closed lists of reasons. Order of an enum is its precedence: the first that applies is kept."""

from __future__ import annotations

from enum import StrEnum


class RejectReason(StrEnum):
    """Why a span was set aside in quarantine instead of being kept as evidence."""

    TRACE_ID_INVALID = "trace_id_invalid"
    """Not 16 bytes, or all zero."""
    SPAN_ID_INVALID = "span_id_invalid"
    """Not 8 bytes, or all zero."""
    TIME_OUT_OF_RANGE = "time_out_of_range"
    """Start or end does not fit a signed 64-bit count of nanoseconds."""
    TIME_AHEAD = "time_ahead"
    """Start or end is more than 48 hours after the receipt: the clock of the sender is wrong."""


class Verdict(StrEnum):
    """What the walk decided about one span."""

    STEP = "step"
    """Billable work of its own; there is a step with this span's id."""
    TWIN = "twin"
    """Reports a call that another span, the survivor, is counted for."""
    AGGREGATE = "aggregate"
    """Repeats usage of the calls beneath it."""
    TRANSPORT = "transport"
    """Carries a call that another span reports (HTTP, RPC, server side)."""
    STRUCTURE = "structure"
    """Groups other spans; nothing billable of its own."""


class UsageReason(StrEnum):
    """Why a verdict other than STEP or STRUCTURE was given."""

    CALLS_BENEATH = "calls_beneath"
    """A structural carrier with the calls it sums beneath it."""
    ORPHAN_CALLS = "orphan_calls"
    """As calls_beneath; the calls lost their parent but ran in its process and time."""
    RUNNING_TOTAL = "running_total"
    """A carrier that repeats what an earlier run of the same agent reported; what it reports beyond
    that is counted as a residual."""
    NESTED_TWIN = "nested_twin"
    """Model span inside model span, equal numbers, nothing but structure between."""
    SIBLING_TWIN = "sibling_twin"
    """Other scope, equal numbers, same model and process, one interval in the other."""
    SAME_RESPONSE = "same_response"
    """Same provider response id, and equal numbers or overlapping times."""
    COUNTED_ABOVE = "counted_above"
    """Reports nothing itself; the carrier above reports this call."""
    RETRIEVAL_BENEATH = "retrieval_beneath"
    """A retrieval whose inner retrievals or database queries are counted."""
    SAME_TOOL_CALL = "same_tool_call"
    """A tool span inside a span of the same tool call (framework, client, server)."""
    TRANSPORT_OF_CALL = "transport_of_call"
    """HTTP or RPC span beneath the call it carries."""
    NO_EVIDENCE = "no_evidence"
    """Called a model span, but nothing shows that a call was made."""
    SPAN_REPEATED = "span_repeated_with_other_content"
    """The same trace and span id came with other content; the fuller version is used."""


class UnattributedReason(StrEnum):
    """Why no feature pays for a step, or a required tag is missing."""

    TAG_INVALID = "tag_invalid"
    """A feature was declared, but its value is not one that the policy allows."""
    ROOT_MISSING = "root_missing"
    """A span above it never arrived; it may have declared the feature."""
    PARENTS_IN_A_CIRCLE = "parents_in_a_circle"
    """Spans name each other as parent, so nothing is above them."""
    LINK_MISSING = "link_missing"
    """The span that its trace links to is not there."""
    NOT_REQUIRED = "not_required"
    """Nothing declares a feature, and the policy requires none in this environment."""
    NO_TAG = "no_tag"
    """Nothing declares a feature."""
    IDLE = "idle"
    """Of a shared cost, what nobody used; the file names no feature that pays for it."""
    UNATTRIBUTED_USE = "unattributed_use"
    """Of a shared cost, the part of steps that no feature pays for."""
    REQUIRED_TAG_MISSING = "required_tag_missing"
    """A feature pays, but another tag that the policy requires is missing."""


class CostStatus(StrEnum):
    """What is known about the price of a step; part of the charge's identity."""

    PRICED = "priced"
    FREE = "free"
    """A rate line says that it costs nothing."""
    CAPACITY = "capacity"
    """Served from reserved capacity: nothing more is paid for it, the capacity's bill is shared
    out; list_cost_usd is what it would have cost."""
    PARTIAL = "partial"
    """Some quantities have no rate; cost_usd holds the priced part only."""
    UNPRICED = "unpriced"
    """Billable, but no price can be known; cost_usd is NULL."""
    UNMETERED = "unmetered"
    """No fee of its own is known for this kind of work (a local tool); cost_usd is NULL."""


class CostReason(StrEnum):
    """Why a step is not fully priced."""

    NO_USAGE = "no_usage"
    """The call was made but no span carries its quantities."""
    CALL_FAILED = "call_failed"
    """The call ended in an error and reported no quantities."""
    COUNT_UNREADABLE = "count_unreadable"
    """A count that is billed was reported as something that is no count: negative, fractional, not
    finite, not a number."""
    USAGE_INCONSISTENT = "usage_inconsistent"
    """The reported quantities contradict each other."""
    NO_MODEL = "no_model"
    """No model name on any span of the call."""
    NO_SKU = "no_sku"
    """No rate card line matches provider and model."""
    AMBIGUOUS = "ambiguous"
    """More than one rate card entry matches equally well."""
    UNKNOWN_CONTEXT = "unknown_context"
    """Tier, region or other context that the card does not know."""
    BEFORE_HISTORY = "before_history"
    """The step ended before the first dated price."""
    AFTER_HISTORY = "after_history"
    """The step ended after the price was withdrawn."""
    NO_EXCHANGE_RATE = "no_exchange_rate"
    """The price is in a currency without an exchange rate for that time."""
    NO_LINE = "no_line"
    """The card has no line for one of the quantities."""
    NO_RATE = "no_rate"
    """No fee is configured for this tool, retrieval or rerank."""
