"""Deterministic simulation: the real receiver and pipeline under senders, networks, disks, restarts
and changes that a seed draws, on a clock that is only told.

    truth    what is sent, and what must come of it, by rules of its own
    senders  how it is sent: split, late, again, out of order, broken
    disk     where a process fails or is killed
    world    the machine: clock, processes, network, what an operator does
    laws     what must hold whenever everything has settled
    run      one seed from beginning to end

`make sim SEED=n` runs one seed and prints what happened; the same seed always does the same.
"""
