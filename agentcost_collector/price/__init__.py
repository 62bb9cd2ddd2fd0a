"""Steps in, charges out: what every step cost, exactly, or why that is not known.

In: STEPS and a RateBook, which `load_rate_book` compiles from folders of YAML rate cards (the only
I/O here, done once at the start). Out: CHARGES, the same rows, sorted.

Invariants: no float touches money; a price comes from a dated line of a card or there is none (a
NULL cost with a status and a reason, never 0, never a guess); the amounts of the parts add up to
`cost_usd` exactly; the same steps and cards give the same bytes.
"""
