"""Foreign price lists in, drafts of rate cards out: for people to review, never applied by itself.

A draft is the text of our own card with what is new appended, so that a line of ours is never
edited and every difference can be read as one. A price without a date counts from the day it was
first seen; what a list only guesses (matches by substring, other sellers' prices) is left out.
"""

from agentcost_collector.draft.compare import Change, Draft, draft_cards
from agentcost_collector.draft.edit import Origin
from agentcost_collector.draft.genai_prices import offered_skus
from agentcost_collector.draft.offered import Listed, Offered, Span

__all__ = [
    "Change",
    "Draft",
    "Listed",
    "Offered",
    "Origin",
    "Span",
    "draft_cards",
    "offered_skus",
]
