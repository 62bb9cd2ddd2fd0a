"""The durable store of received Spans, between the receiver and the pipeline process.

In: one SPANS table and one REJECTS table per group of requests. Out: the same SPANS tables in
order, each with its Position (1, 2, 3 ...; never used twice, also after a trim).

Invariants:
- `append` returns after fsync, or raises and keeps nothing;
- spans, rejects and their counters are one transaction;
- every span set aside is counted, and is kept, released (once), repeated or dropped;
- one writer: only `Journal` writes to the database, `JournalReader` leaves a mark saying what it
  no longer needs and the next append deletes it, so neither side ever waits for the other;
- what is read back is what was written, or CorruptionError.

The format on disk is described in `docs/formats/journal.md`.
"""
