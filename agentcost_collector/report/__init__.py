"""Outlet: the ledger as SQL views, and what they say about who costs what.

In: the file lists of the Delta logs, through `ledger.LedgerReader`. Out: a DuckDB connection with
the views `ledger steps runs sessions chargeback unattributed hours days spans rates budgets`, and
Arrow tables.
Invariants: nothing but cubes is written; SUM of any money or quantity over `ledger`, `steps`,
`runs`, `hours` and `days` is the same for every filter on columns that they share; money stays
DECIMAL(38,12).
"""
