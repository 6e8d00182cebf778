"""Files as real clients send them, with the documented outcome of each.

The product computes none of the expected outcomes.
"""
