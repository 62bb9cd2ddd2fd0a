"""Canaries: traces of known price that the service sends itself, and the proof that they arrive.

In: the clock, and what commits have booked. Out: a request at the service's own OTLP/HTTP door,
and four metrics. Nothing of it stops the service, and a canary in the ledger is like any entry.
"""
