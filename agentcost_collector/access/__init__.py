"""Store: who may use the doors, and who did what.

In: tokens as made by `agentcost token`, requests with their credentials. Out: what a credential
binds, or a refusal; a line in the audit log.
Invariants: a token is shown once and stored as a digest only; a token file that cannot be read
opens no door; whatever happens to the log, a line of it is whole.
"""

from agentcost_collector.access.audit import AuditLog
from agentcost_collector.access.config import Config
from agentcost_collector.access.gate import TokenGate
from agentcost_collector.access.token import Token, new_token
from agentcost_collector.access.token_file import TokenFile, change_tokens, read_tokens

__all__ = [
    "AuditLog",
    "Config",
    "Token",
    "TokenFile",
    "TokenGate",
    "change_tokens",
    "new_token",
    "read_tokens",
]
