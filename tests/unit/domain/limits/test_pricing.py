"""The cost of tokens, and limits in nano-dollars."""

import pytest

from promptforge.domain.limits.pricing import token_cost, usd_to_nanos


@pytest.mark.parametrize(
    ("price", "tokens", "amount"),
    [
        ((0.15, 0.60), (1_000_000, 0), 150_000_000),
        ((0.15, 0.60), (0, 1_000_000), 600_000_000),
        ((0.15, 0.60), (1, 1), 750),
        ((0.0, 0.0), (5, 5), 0),
        ((75, 150), (2, 3), 600_000),
    ],
)
def test_token_cost_returns_nano_dollars(price: tuple[float, float], tokens: tuple[int, int], amount: int) -> None:
    assert token_cost(price, *tokens) == amount


def test_usd_to_nanos_tiny_amount_returns_one() -> None:
    assert (usd_to_nanos(1.5), usd_to_nanos(1e-30)) == (1_500_000_000, 1)
