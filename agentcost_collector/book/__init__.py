"""What to append to the ledger: charges wanted minus charges booked.

In: CHARGES of some traces, and all ENTRIES that the ledger holds for the same traces.
Out: ENTRIES that, appended, make exactly the wanted charges stand. Nothing where they stand
already. Always true: per content, the signs in the ledger add up to 1 where the charge is wanted
and to 0 where it is not, so SUM over the ledger is the sum of what was wanted last.
"""
