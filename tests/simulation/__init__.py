"""Deterministic simulation: instances, their platform and their clients in one process, under virtual time.

The seed decides everything that could differ between two runs: the order of ready callbacks, latencies, faults and
ids. Run it with `python -m tests.simulation`. One seed gives one trace, byte for byte.
"""
