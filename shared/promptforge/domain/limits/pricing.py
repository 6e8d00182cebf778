"""The cost of calls.

Amounts are whole nano-dollars, so that sums are exact.
"""

Price = tuple[float, float]
"""US dollars per million input tokens, and per million output tokens."""

NANOS_PER_USD = 10**9


def token_cost(price: Price, input_tokens: int, output_tokens: int) -> int:
    """Return the cost of the tokens in nano-dollars."""
    return round((input_tokens * price[0] + output_tokens * price[1]) * (NANOS_PER_USD / 1_000_000))


def usd_to_nanos(usd: float) -> int:
    """Return a limit in nano-dollars, at least 1, so that no positive limit becomes zero."""
    return max(round(usd * NANOS_PER_USD), 1)
