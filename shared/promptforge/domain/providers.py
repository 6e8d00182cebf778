"""Every provider, one row each.

Settings, the wiring and the validation of parameters read this table.
"""

from typing import NamedTuple

JSON_OBJECT = "response_format json_object"
"""The name of this response format among the parameters: a provider may support the other one only."""


class Provider(NamedTuple):
    """A provider, and the values by which it is configured.

    `name` is also the name of its module in adapters/llm/. `key_variable` is the variable with its API key, None if it
    needs no key. `url_variable` may hold another address than `default_url`. A parameter in `unsupported` is rejected:
    to ignore it would change the meaning of the request.
    """

    name: str
    key_variable: str | None = None
    url_variable: str | None = None
    default_url: str | None = None
    unsupported: frozenset[str] = frozenset()


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("echo"),
        Provider("openai", "OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1"),
        Provider(
            "anthropic",
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_BASE_URL",
            "https://api.anthropic.com",
            unsupported=frozenset({"seed", JSON_OBJECT}),
        ),
        Provider(
            "gemini",
            "GEMINI_API_KEY",
            "GOOGLE_GEMINI_BASE_URL",
            "https://generativelanguage.googleapis.com",
        ),
        Provider("mistral", "MISTRAL_API_KEY", "MISTRAL_BASE_URL", "https://api.mistral.ai"),
    )
}
