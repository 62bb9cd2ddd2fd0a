"""Sends one-trace requests without end; prints the number of each that was acknowledged."""

from __future__ import annotations

import itertools
import sys

import grpc

from tests.support.trees import draw

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RUN = """
ask{n} feature=f{n}
  chat{n} openinference.span.kind=LLM llm.model_name=gpt-4o-mini llm.token_count.prompt={n}
"""


def body(number: int) -> bytes:
    """The request of one run; its call has `number` input tokens."""
    return draw(RUN.format(n=number)).body()


def main(address: str, first: int) -> None:
    """Each run is sent until it is acknowledged, as a real sender does."""
    channel = grpc.insecure_channel(address)
    export = channel.unary_unary(METHOD)
    for number in itertools.count(first):
        request = body(number)
        while True:
            try:
                export(request, timeout=30, wait_for_ready=True)
                break
            except grpc.RpcError:
                continue
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
