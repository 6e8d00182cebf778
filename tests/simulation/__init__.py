"""Deterministic simulation: many machines, their platform and their clients in one process, under virtual time.

Everything that could differ between two runs comes from the seed: the order of ready callbacks, latencies, faults,
ids. Run it with `python -m tests.simulation`; one seed gives one trace, byte for byte.
"""
