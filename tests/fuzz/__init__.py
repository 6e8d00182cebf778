"""Fuzz tests of everything that comes from outside.

FUZZ_FACTOR=100 multiplies the number of examples of each test.
"""
