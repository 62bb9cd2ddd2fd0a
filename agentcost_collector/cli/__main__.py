"""`python -m agentcost_collector.cli` is `agentcost`."""

from agentcost_collector.cli import main

main()
