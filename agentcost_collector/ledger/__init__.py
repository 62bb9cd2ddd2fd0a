"""The ledger: append-only Delta tables `spans` (evidence) and `ledger` (entries).

In: new SPANS and ENTRIES of settled traces, with the counters of the process that settled them.
Out: what is stored for given traces, and the list of data files for any reader.

Always true: a commit that returned is on disk, once, and stays; a commit that did not return is
there whole, or as spans without entries, or not at all; rows are never changed or removed.
Readers take the file list from the Delta log, never from a directory listing.
"""
