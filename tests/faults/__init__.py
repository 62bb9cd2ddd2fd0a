"""The real journal and ledger under kills, refusals of the system and power cuts, at every system
call of a delivery: `store` is what is tested and the truth, `crew` runs it under strace, `calls`
reads what strace saw, `clones` is a disk after a power cut."""
