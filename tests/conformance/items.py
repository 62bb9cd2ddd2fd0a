"""The list that a receiver of OTLP is held to, and how this one behaves."""

from __future__ import annotations

from typing import NamedTuple


class Item(NamedTuple):
    """One demand. `level`: M must, S should, m may (all of OTLP), O our own."""

    number: int
    level: str
    demand: str
    behaviour: str
    elsewhere: tuple[str, ...] = ()
    """Tests outside `tests/conformance`, as FILE::NAME."""


ITEMS = (
    Item(1, "M", "Take gzip and uncompressed requests", "Both, everywhere; deflate on gRPC"),
    Item(2, "S", "gRPC on 4317, HTTP on 4318", "As defaults, on the loopback address"),
    Item(
        3,
        "M",
        "Serve TraceService/Export; unknown methods are UNIMPLEMENTED",
        "So it is",
        ("tests/receive/test_grpc_server.py::test_other_signals_are_unimplemented",),
    ),
    Item(
        4,
        "S",
        "POST /v1/traces, configurable; other signals refused for good",
        "404 with a Status that names the path; the path is fixed",
    ),
    Item(5, "S", "Binary and JSON on one HTTP port", "Told apart by Content-Type"),
    Item(
        6,
        "O",
        "Keep connections open; 405 for other methods, 415 for other media types",
        "So it is, also after a refusal",
        ("tests/receive/test_http_server.py::test_another_method_is_405",),
    ),
    Item(
        7,
        "M",
        "Limit the size of a request, also after decompression",
        "`receive.request_bytes_max`, 64 MiB; JSON is bounded by the memory that reading it takes",
        ("tests/receive/test_body.py::test_a_bomb_never_holds_more_than_the_bound",),
    ),
    Item(8, "M", "Too large by gRPC: RESOURCE_EXHAUSTED for good", "Without RetryInfo"),
    Item(9, "M", "Too large by HTTP: 413", "413 with the limit and the setting"),
    Item(10, "M", "Limit the size of answers", "A message has at most 300 characters"),
    Item(
        11,
        "S",
        "Many calls at once, answered in any order",
        "1,000 of one client in flight, stored by few commits",
        ("tests/receive/test_receiver.py::test_requests_that_wait_share_one_store_call",),
    ),
    Item(
        12,
        "O",
        "Bound the bytes in flight, refuse early",
        "Memory is taken before a message is read; one sender never takes all of it; beyond it "
        "UNAVAILABLE or 503 with a delay",
        (
            "tests/receive/test_admission.py::test_a_flood_leaves_room_for_one_more",
            "tests/receive/test_receiver.py::test_beyond_the_bytes_in_flight_senders_are_put_off",
        ),
    ),
    Item(
        13,
        "O",
        "No limit of calls that drops data; pings every 10 s are fine",
        "Pings from 9 s apart; connections have no greatest age",
    ),
    Item(
        14,
        "O",
        "Refuse other encodings; gzip of several members; truncated gzip is 400",
        "415 with a Status; by gRPC the library answers INTERNAL",
        ("tests/receive/test_body.py::test_any_cut_of_any_members",),
    ),
    Item(
        15,
        "O",
        "Time limits for heads and bodies",
        "`receive.body_wait_s`, 10 s, for a body on either transport; 10 s and 64 KiB for a head",
        ("tests/receive/test_http_server.py::test_a_body_that_never_ends_is_put_off",),
    ),
    Item(16, "M", "Success leaves partial_success unset", "An empty message"),
    Item(17, "S", "An empty request is a success", "Nothing is written"),
    Item(
        18,
        "M",
        "Partial success counts the rejected spans and says why",
        "With the reason and what to do; rejected spans are in quarantine",
    ),
    Item(19, "M", "A warning has no rejected spans and a message", "JSON without resourceSpans"),
    Item(
        20,
        "O",
        "Success only after the data is on disk",
        "After the journal's commit, one for all requests waiting",
        (
            "tests/receive/test_receiver.py::test_no_answer_before_the_store_returns",
            "tests/journal/test_writer.py::test_commits_are_synced",
            "tests/end_to_end/test_kill.py::test_nothing_acknowledged_is_lost_or_doubled",
        ),
    ),
    Item(21, "S", "For now: UNAVAILABLE, 503", "With the delay"),
    Item(22, "S", "For good: INVALID_ARGUMENT, 400, with BadRequest", "The reason is in both"),
    Item(23, "O", "Our faults by gRPC are UNAVAILABLE, never UNKNOWN", "Any exception"),
    Item(24, "O", "Our faults by HTTP are 503, never 500", "Any exception"),
    Item(25, "M", "Every 4xx and 5xx body is a Status, encoded as the request", "So it is"),
    Item(26, "M", "The answer has the request's media type", "Answers are not compressed"),
    Item(27, "S", "A delay that lets senders succeed", "`receive.retry_delay_s`, 1 s"),
    Item(28, "O", "The delay wherever clients look", "Status, trailer, Retry-After"),
    Item(
        29,
        "O",
        "Failed authentication: UNAUTHENTICATED, 401",
        "PERMISSION_DENIED, 403 without the scope; logged and counted",
        (
            "tests/receive/test_doors.py::test_29_both_protocols_ask_for_a_token_and_say_so",
            "tests/access/test_token_gate.py::test_refusals_are_told_counted_and_not_repeated",
            "tests/access/test_token_gate.py::test_old_and_new_overlap",
        ),
    ),
    Item(
        30,
        "O",
        "What is wrong for ever is never put off",
        "Malformed, too deep, too many: refused for good, alone in its group",
        (
            "tests/receive/test_grpc_server.py::test_malformed_among_good_ones",
            "tests/conformance/test_fuzz.py::test_any_body_is_answered",
        ),
    ),
    Item(
        31,
        "O",
        "A full disk puts senders off",
        "Nothing of the request is kept; taken again once there is space",
        ("tests/journal/test_writer.py::test_full_database_keeps_nothing_of_the_append",),
    ),
    Item(32, "M", "Ignore unknown fields and enum numbers", "So it is, at every level"),
    Item(
        33,
        "O",
        "Wrong ids cost their span, not the request; a parent of zeros is a root",
        "Quarantine, and partial success",
        ("tests/decode/test_decode.py::test_rejects",),
    ),
    Item(34, "M", "Any flags", "Not read"),
    Item(35, "O", "Repeated attribute keys", "The last that can be read counts"),
    Item(36, "O", "Accept bare spans", "No name, kind, resource, scope; an end before the start"),
    Item(37, "O", "String indexes of profiles are absent", "The span is kept"),
    Item(
        38,
        "O",
        "Deep values cost themselves only",
        "Up to 32 levels are read",
        ("tests/decode/test_decode.py::test_depth_and_size_of_nested_values",),
    ),
    Item(39, "O", "Mark spans whose SDK dropped attributes", "Kept in `dropped_attributes`"),
    Item(40, "O", "Any time, without overflow", "From 2^63 ns on: quarantine"),
    Item(
        41,
        "O",
        "Token counts of any type and size",
        "The span is kept",
    ),
    Item(
        42,
        "O",
        "Invalid UTF-8 costs itself only",
        "Neither the request nor its other spans",
        ("tests/decode/test_decode.py::test_invalid_utf8_is_replaced",),
    ),
    Item(43, "M", "JSON ids are hex of either case", "Others: a wrong id, see 33"),
    Item(44, "M", "JSON enums are integers", "Names are refused for good"),
    Item(45, "M", "Ignore unknown JSON keys", "So it is"),
    Item(
        46,
        "M",
        "lowerCamelCase only",
        "A warning without resourceSpans",
    ),
    Item(47, "M", "64-bit integers as decimal text", "And as numbers; other spellings refused"),
    Item(48, "M", "bytesValue is base64; NaN and Infinity are text", "So it is"),
    Item(49, "M", "null is absent", "At every level"),
    Item(50, "O", "Repeated JSON keys", "The last counts"),
    Item(
        51,
        "O",
        "JSON bombs take bounded time and memory",
        "A million objects; memory is taken from the bytes in flight; depth is refused",
        ("tests/decode/test_otlp_json.py::test_deep_values",),
    ),
    Item(52, "M", "JSON errors are a JSON Status", "With code and message"),
    Item(
        53,
        "O",
        "Real clients",
        "OpenTelemetry SDK for Python by gRPC and HTTP, with and without gzip",
        (
            "tests/receive/test_receiver.py::test_real_sdk_sends_again_after_a_transient_failure",
            "tests/end_to_end/test_sdk.py::test_every_transport_gives_the_same_ledger",
        ),
    ),
    Item(
        54,
        "O",
        "The same spans by any transport give the same ledger",
        "Rows equal in every field, in the journal and in the ledger",
        ("tests/end_to_end/test_resent.py::test_any_order_and_any_number_of_times",),
    ),
    Item(
        55,
        "O",
        "Duplicates count once",
        "Also at once, over several transports and after a restart",
        ("tests/end_to_end/test_resent.py::test_any_order_and_any_number_of_times",),
    ),
    Item(
        56,
        "O",
        "Any order and split gives the same result",
        "Shuffled, span by span, over connections; late roots",
        (
            "tests/end_to_end/test_resent.py::test_any_order_and_any_number_of_times",
            "tests/test_pipeline.py::test_any_split_and_order_ends_in_the_same_steps",
        ),
    ),
    Item(
        57,
        "O",
        "No header says who pays",
        "A token may; no other header is read",
        ("tests/receive/test_doors.py::test_57_a_token_pins_and_no_header_does",),
    ),
    Item(
        58,
        "O",
        "Health: grpc.health.v1, /healthz, /readyz on a port of its own",
        "Probes on port 13133; grpc.health.v1 on that of OTLP/gRPC; GET /healthz on that of HTTP",
        (
            "tests/test_readiness.py::test_a_journal_that_refuses_is_not_ready_until_it_takes_a_write",
        ),
    ),
    Item(
        59,
        "O",
        "TLS, mTLS, tokens",
        "TLS 1.2 and newer; certificates are read again when they change",
        (
            "tests/receive/test_tls.py::test_59_both_listeners_speak_tls",
            "tests/receive/test_tls.py::test_59_mutual_tls_wants_a_certificate_of_its_authority",
            "tests/receive/test_tls.py::test_59_a_new_certificate_is_used_without_a_restart",
            "tests/receive/test_doors.py::test_a_good_token_is_let_in",
        ),
    ),
    Item(
        60,
        "O",
        "Warn when others can reach the listener",
        "One warning for each address beyond this machine",
        (
            "tests/receive/test_receiver.py::test_listening_beyond_this_machine_is_said_aloud",
            "tests/receive/test_doors.py::test_60_the_warning_says_what_is_missing",
            "tests/receive/test_tls.py::test_60_no_warning_where_tls_asks_for_a_certificate",
        ),
    ),
)
