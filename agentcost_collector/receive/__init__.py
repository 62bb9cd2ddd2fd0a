"""The shore where spans arrive: OTLP/gRPC and OTLP/HTTP on one asyncio loop.

In: export requests from any OTLP client, plain or gzip, protobuf or JSON.
Out: groups of Payloads handed to a Store; its Outcomes as the answers.

- A request is answered with success only after the store has returned.
- Requests that wait while one group is stored form the next group: one commit for all of them.
- Whatever goes wrong, the sender gets an answer, and one that makes it resend unless the
  request itself can never be accepted.
- The bytes held in memory are bounded; beyond the bound senders are asked to come back.
"""
