"""The setting PRICES, and the price of a model."""

import pytest
from pydantic import ValidationError

from promptforge.errors import SettingsError
from promptforge.settings import Settings


def test_price_of_model_price_overrides_provider_price() -> None:
    text = '{"openai/gpt-4o-mini": [0.15, 0.60], "openai/*": [10, 20], "gemini/*": [1, 2.5]}'
    settings = Settings.from_env({"PROMPTFORGE_PRICES": text})

    assert settings.price_of("openai", "gpt-4o-mini") == (0.15, 0.60)
    assert settings.price_of("openai", "another") == (10, 20)
    assert settings.price_of("gemini", "gpt-4o-mini") == (1, 2.5)
    assert settings.price_of("mistral", "another") is None
    assert Settings.from_env({}).price_of("echo", "echo-1") is None


def test_price_of_gemini_name_ignores_models_prefix() -> None:
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
def test_settings_invalid_prices_raise(text: str) -> None:
    with pytest.raises(SettingsError, match="Invalid setting PROMPTFORGE_PRICES"):
        Settings.from_env({"PROMPTFORGE_PRICES": text})
    with pytest.raises(ValidationError):
        Settings.model_validate({"prices": text})
