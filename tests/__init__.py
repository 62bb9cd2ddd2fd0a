"""Tests, the demo and the benchmark. Importable so that `python -m tests.demo` runs."""
