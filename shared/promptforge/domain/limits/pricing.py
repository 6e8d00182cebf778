"""What calls cost. Money is counted in whole nano-dollars, so that sums are exact."""

Price = tuple[float, float]
"""US dollars for a million input tokens, and for a million output tokens."""

NANOS_PER_USD = 10**9


def token_cost(price: Price, input_tokens: int, output_tokens: int) -> int:
    """What so many tokens cost, in nano-dollars."""
    return round((input_tokens * price[0] + output_tokens * price[1]) * (NANOS_PER_USD / 1_000_000))


def usd_to_nanos(usd: float) -> int:
    """An amount that may be spent; never nothing."""
    return max(round(usd * NANOS_PER_USD), 1)
