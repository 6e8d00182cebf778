"""Prices of models, and the cost of calls.

Amounts are whole nano-dollars, so that sums are exact.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from promptforge.domain.providers import PROVIDERS

Price = tuple[float, float]
"""US dollars per million input tokens, and per million output tokens."""

NANOS_PER_USD = 10**9


def _canonical(name: str) -> str:
    """Return one name for both forms of a Gemini model, which may be written with its collection `models/`."""
    return name.replace("gemini/models/", "gemini/", 1) if name.startswith("gemini/models/") else name


Dollars = Annotated[float, Field(ge=0)]
PricedModel = Annotated[
    str, StringConstraints(pattern=rf"^({'|'.join(PROVIDERS)})/([^*]+|\*)$"), AfterValidator(_canonical)
]
"""`provider/model`, or `provider/*` for every other model of the provider."""


def find_price(prices: Mapping[str, Price], provider: str, model: str) -> Price | None:
    """Return the price of the model, else that of the provider's `*`, else None."""
    return prices.get(_canonical(f"{provider}/{model}"), prices.get(f"{provider}/*"))


def token_cost(price: Price, input_tokens: int, output_tokens: int) -> int:
    """Return the cost of the tokens in nano-dollars."""
    return round((input_tokens * price[0] + output_tokens * price[1]) * (NANOS_PER_USD / 1_000_000))


def usd_to_nanos(usd: float) -> int:
    """Return a limit in nano-dollars, at least 1, so that no positive limit becomes zero."""
    return max(round(usd * NANOS_PER_USD), 1)
