"""SPANS and FACTS of whole traces in, STEPS out: the walk that this product exists for.

Invariants: every call is counted once; every span is a step or has a verdict that names who is
counted instead; the payer of a step is found above the outermost boundary around it.
"""
