"""SPANS and FACTS of whole traces in, STEPS out: the walk that this product exists for.

Invariants: every call is counted once; every span is a step or has a verdict that names who is
counted instead; the payer of a step is found above the outermost boundary around it.
"""

from agentcost_collector.attribute.attribute import attribute_steps, explain_spans
from agentcost_collector.attribute.config import Config
from agentcost_collector.attribute.policy import Policy
from agentcost_collector.attribute.rules import RuleError, Rules

__all__ = ["Config", "Policy", "RuleError", "Rules", "attribute_steps", "explain_spans"]
