"""Prices, and what tokens cost by them."""

import pytest
from pydantic import ValidationError

from promptforge.domain.limits.pricing import token_cost, usd_to_nanos
from promptforge.errors import SettingsError
from promptforge.settings import Settings


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
def test_a_call_costs_what_its_tokens_cost(price: tuple[float, float], tokens: tuple[int, int], amount: int) -> None:
    assert token_cost(price, *tokens) == amount


def test_a_limit_is_never_nothing() -> None:
    assert (usd_to_nanos(1.5), usd_to_nanos(1e-30)) == (1_500_000_000, 1)


def test_a_models_own_price_goes_before_its_providers() -> None:
    text = '{"openai/gpt-4o-mini": [0.15, 0.60], "openai/*": [10, 20], "gemini/*": [1, 2.5]}'
    settings = Settings.from_env({"PROMPTFORGE_PRICES": text})

    assert settings.price_of("openai", "gpt-4o-mini") == (0.15, 0.60)
    assert settings.price_of("openai", "another") == (10, 20)
    assert settings.price_of("gemini", "gpt-4o-mini") == (1, 2.5)
    assert settings.price_of("mistral", "another") is None
    assert Settings.from_env({}).price_of("echo", "echo-1") is None


def test_a_model_has_one_price_whichever_way_its_name_is_written() -> None:
    text = (
        '{"gemini/gemini-a": [1, 2], "gemini/models/gemini-b": [3, 4], "gemini/*": [5, 6], "openai/models/m": [7, 8]}'
    )
    settings = Settings.from_env({"PROMPTFORGE_PRICES": text})

    for name in ("", "models/"):
        assert settings.price_of("gemini", name + "gemini-a") == (1, 2)
        assert settings.price_of("gemini", name + "gemini-b") == (3, 4)
        assert settings.price_of("gemini", name + "gemini-c") == (5, 6)
    assert settings.price_of("gemini", "tunedModels/gemini-a") == (5, 6)
    assert settings.price_of("openai", "models/m") == (7, 8)
    assert settings.price_of("openai", "m") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"openai/m": 1}',
        '{"openai/m": [1]}',
        '{"openai/m": [1, -1]}',
        '{"openai/m": [1, NaN]}',
        '{"openai/m": [1, Infinity]}',
        '{"nobody/m": [1, 2]}',
        '{"openai/": [1, 2]}',
        '{"m": [1, 2]}',
        '{"openai/gpt-4o*": [1, 2]}',
        '{"openai/**": [1, 2]}',
        '{"*/*": [1, 2]}',
    ],
)
def test_prices_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="Invalid setting PROMPTFORGE_PRICES"):
        Settings.from_env({"PROMPTFORGE_PRICES": text})
    with pytest.raises(ValidationError):
        Settings.model_validate({"prices": text})
