"""Turns exported OpenTelemetry traces into a ledger of what every agent step cost and who pays."""

__version__ = "0.1.0"
