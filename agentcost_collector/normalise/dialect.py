"""What a dialect file may say: when it applies, where it keeps each fact, what its values mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentcost_collector.model.kinds import Kind

TEXT_FIELDS = (
    "provider",
    "model",
    "requested_model",
    "response_id",
    "tool",
    "tool_call_id",
    "operation",
    "target",
    "service_tier",
    "region",
    "account",
    "session_id",
    "user_id",
    "agent",
    "agent_version",
    "workflow",
    "host",
    "url",
    "store",
    "store_operation",
    "usage_text",
    "input_details_text",
    "output_details_text",
    "cost_text",
)
"""Canonical facts that are text. `usage_text`, `cost_text`: usage or cost written as JSON or as a
Python literal in one attribute; the two `details`: only what input or output consists of. `url`:
what decode kept of one, its host and perhaps the end of its path. `store`: the database that was
used, and what for."""

COUNT_FIELDS = (
    "input",
    "output",
    "total",
    "cache_read",
    "cache_write",
    "cache_write_short",
    "cache_write_long",
    "reasoning",
    "input_audio",
    "input_image",
    "output_audio",
    "output_image",
    "uncached_input",
    "extra_input",
    "extra_output",
    "read_units",
    "write_units",
    "search_units",
    "http_status",
    "request_bytes",
    "response_bytes",
)
"""Canonical facts that are counts. `input` and `output` as reported: whether they include the
cached and reasoning parts is decided by `normalise/usage.py`. `uncached_input` is only a sign that
the emitter knows the split. `extra_input`, `extra_output`: billed beside `input` and `output`."""

DECIMAL_FIELDS = ("reported_cost", "gpu_seconds", "cpu_seconds", "gib_seconds", "units")
"""Canonical facts that are decimals: US dollars, seconds, or units of the emitter's own."""

FIELDS = (*TEXT_FIELDS, *COUNT_FIELDS, *DECIMAL_FIELDS)


@dataclass(frozen=True)
class Dialect:
    """One instrumentation's way of writing spans. A dialect file holds exactly one of these.

    A span belongs to the first dialect whose `scopes` match its scope name, else to the first
    whose `signature` is present. Facts are read from the span's own dialect first, then from the
    others in registry order; the first attribute present wins and nothing is ever summed.
    """

    name: str
    title: str
    """For people: whose spans these are."""
    scopes: tuple[str, ...] = ()
    """Instrumentation scope names; each also matches with a `.suffix`, one that ends in "-" with
    any."""
    signature: tuple[str, ...] = ()
    """Attributes that only this dialect sets; used when the scope name says nothing."""
    signs_only: tuple[str, ...] = ()
    """Those of `signature` that may hold anything: it is kept that they are there, nothing else."""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Canonical field -> attributes in order of preference."""
    kinds: Mapping[str, Mapping[str, Kind]] = field(default_factory=dict)
    """Attribute -> value (lower case) -> kind. Order of dialects is the order of precedence."""
    kind_signs: Mapping[str, Kind] = field(default_factory=dict)
    """Attribute -> kind of the spans that have it, where no value in `kinds` says what they are."""
    names: Mapping[str, Kind] = field(default_factory=dict)
    """Regular expression on the span name -> kind, for this dialect only; beats `kinds`."""
    name_fields: Mapping[str, str] = field(default_factory=dict)
    """Canonical field -> regular expression with one group on the span name, where no attribute
    says it; for spans of this dialect only."""
    excludes_cache: tuple[str, ...] = ()
    """Scopes (or "*" for all) whose input count leaves out cached tokens."""
    excludes_cache_unless_split: tuple[str, ...] = ()
    """Providers for which input leaves out cached tokens unless `uncached_input` is given."""
    excludes_reasoning: tuple[str, ...] = ()
    """Scopes (or "*") whose output leaves out the thoughts of Gemini that their total contains."""
    total_is_reported: bool = False
    """The total comes from the provider, so it can prove what the input includes."""
    loses_cache_write: tuple[str, ...] = ()
    """Scopes known to report zero cache writes where the provider billed some."""
    sums_this_call: tuple[Kind, ...] = ()
    """Carriers of these kinds report exactly their own call's sum, so a surplus over the calls
    beneath is work whose spans were lost."""
    running_totals: tuple[str, ...] = ()
    """Scopes whose carriers report what their agent has used since it was made, earlier runs
    included."""
    writes_on_caller: bool = False
    """Writes a call's usage, and its own signature, onto whatever span is current: such usage is
    a call's own."""
    last_call_only: tuple[str, ...] = ()
    """Scopes whose span may stand for several calls, of which it reports the last: where a tool
    span hangs beneath it, or tools were offered to the model."""
    last_call_names: str = ""
    """Regular expression on names of spans of which the same is true, whatever their scope."""
    answered_from_cache: Mapping[str, str] = field(default_factory=dict)
    """Attribute -> lower-case value which says that the answer came from the emitter's own cache:
    no call was made, whatever usage is shown."""
    url_hosts: tuple[str, ...] = ()
    """Attributes that hold a URL, of which only the host is kept, as `host`, and the path if it
    ends as one of `url_paths`."""
    url_paths: Mapping[str, Kind] = field(default_factory=dict)
    """End of a URL's path -> kind of the model call that a request to it is."""
    tools_offered: tuple[str, ...] = ()
    """Attributes whose presence says that tools were offered. Their values are never kept."""
    numbers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Attribute that holds JSON -> names of the integers in it that are kept, as JSON. The rest,
    which may be text, is not."""
    call_needs_usage: str = ""
    """Regular expression on names of spans that may be wrappers: without usage they are no
    evidence of a call."""
