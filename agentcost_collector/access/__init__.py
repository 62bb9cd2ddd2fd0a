"""Store: who may use the doors, and who did what.

In: tokens as made by `agentcost token`, requests with their credentials. Out: what a credential
binds, or a refusal; a line in the audit log.
Invariants: a token is shown once and stored as a digest only; a token file that cannot be read
opens no door; whatever happens to the log, a line of it is whole.
"""
