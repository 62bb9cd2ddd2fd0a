"""Amplified runs differ from the recorded ones in ids and times only."""

import io
import itertools
import random
from collections import Counter

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.amplify import SPANS_PER_REQUEST, amplified_file, amplify, restamp, spans_in
from tests.support.recordings import (
    MEASURED,
    names,
    read_frames,
    requests_of,
    truth_of,
    write_frames,
)

parsed = ExportTraceServiceRequest.FromString


def _content(span):
    return (
        span.name,
        span.kind,
        span.status.code,
        [a.SerializeToString() for a in span.attributes],
    )


def test_a_copy_keeps_everything_but_ids_and_times():
    """Tree shape, links, durations and attributes are the recorded ones; no id is."""
    for name in names():
        recorded = [span for body in requests_of(name) for span in spans_in(parsed(body))]
        requests = restamp(requests_of(name), random.Random(7), 1_000_000)
        copied = [span for request in requests for span in spans_in(request)]
        assert [_content(s) for s in copied] == [_content(s) for s in recorded]
        assert min(s.start_time_unix_nano for s in copied) == 1_000_000

        span_ids = {r.span_id: c.span_id for r, c in zip(recorded, copied, strict=True)}
        trace_ids = {r.trace_id: c.trace_id for r, c in zip(recorded, copied, strict=True)}
        assert len(set(span_ids.values())) == len(span_ids)
        assert not set(span_ids) & set(span_ids.values())
        for old, new in zip(recorded, copied, strict=True):
            assert new.trace_id == trace_ids[old.trace_id]
            assert new.parent_span_id == span_ids.get(old.parent_span_id, new.parent_span_id)
            assert bool(new.parent_span_id) == bool(old.parent_span_id)
            assert (new.end_time_unix_nano - new.start_time_unix_nano) == (
                old.end_time_unix_nano - old.start_time_unix_nano
            )
            for old_link, new_link in zip(old.links, new.links, strict=True):
                assert new_link.trace_id == trace_ids.get(old_link.trace_id, new_link.trace_id)
                assert new_link.trace_id != old_link.trace_id


def test_requests_hold_512_spans_of_many_interleaved_runs():
    """Exactly the wanted number of spans, in full requests, several runs open in each."""
    bodies = list(amplify(names(), 3_000))
    sizes = [sum(1 for _ in spans_in(parsed(body))) for body in bodies]
    assert sizes == [SPANS_PER_REQUEST] * 5 + [3_000 - 5 * SPANS_PER_REQUEST]
    seen = [{s.trace_id for s in spans_in(parsed(body))} for body in bodies]
    assert all(len(traces) >= 10 for traces in seen)
    assert any(a & b for a, b in itertools.pairwise(seen))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_none_of_its_ids(tmp_path):
    """Runs can be repeated exactly, and told apart."""
    one, again, other = (b"".join(amplify(["crewai", "strands"], 600, seed)) for seed in (1, 1, 2))
    assert one == again
    ids = [{s.trace_id for s in spans_in(parsed(data))} for data in (one, other)]
    assert not ids[0] & ids[1]
    path = amplified_file(tmp_path, 600)
    written = path.stat().st_mtime_ns
    assert amplified_file(tmp_path, 600).stat().st_mtime_ns == written
    with path.open("rb") as file:
        assert list(read_frames(file)) == list(amplify(MEASURED, 600))


def test_cutting_a_request_loses_no_span():
    """Every span of a run that lies wholly inside the wanted number is there once."""
    (name,) = ["oinf_llamaindex"]
    recorded = [_content(s)[0] for b in requests_of(name) for s in spans_in(parsed(b))]
    bodies = amplify([name], 38 * 40)
    copied = Counter(s.name for body in bodies for s in spans_in(parsed(body)))
    assert sum(copied.values()) == 38 * 40
    assert set(copied) == set(recorded)


def test_frames_are_read_as_written_and_a_cut_one_is_an_error():
    """A recording that was cut off is never taken for a shorter whole one."""
    file = io.BytesIO()
    write_frames(file, [b"one", b"", b"three"])
    file.seek(0)
    assert list(read_frames(file)) == [b"one", b"", b"three"]
    with pytest.raises(EOFError, match="ends after"):
        list(read_frames(io.BytesIO(file.getvalue()[:-1])))


def test_every_recording_has_a_truth_with_totals():
    """The public recordings are complete: spans and what was billed."""
    assert len(names()) >= 29
    assert all("input_tokens_total" in truth_of(name)["totals"] for name in names())
