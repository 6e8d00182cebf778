"""Every provider, one row each.

Settings, the wiring and the validation of parameters read this table.
"""

from typing import NamedTuple

JSON_OBJECT = "response_format json_object"
"""The name of this response format among the parameters: a provider may support the other one only."""


class Provider(NamedTuple):
    """A provider, and the values by which it is configured.

    `adapter` is its module in adapters/llm/. `key_variable` is the variable with its API key, None if it needs no key.
    `url_variable` may hold another address than `default_url`. `endpoint` is the path of its calls below that address.
    A parameter in `unsupported` is rejected: to ignore it would change the meaning of the request.
    """

    name: str
    adapter: str
    key_variable: str | None = None
    url_variable: str | None = None
    default_url: str | None = None
    endpoint: str | None = None
    unsupported: frozenset[str] = frozenset()


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("echo", "echo"),
        Provider(
            "openai",
            "openai",
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "https://api.openai.com/v1",
            "/chat/completions",
        ),
        Provider(
            "anthropic",
            "anthropic",
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_BASE_URL",
            "https://api.anthropic.com",
            "/v1/messages",
            unsupported=frozenset({"seed", JSON_OBJECT}),
        ),
        Provider(
            "gemini",
            "gemini",
            "GEMINI_API_KEY",
            "GOOGLE_GEMINI_BASE_URL",
            "https://generativelanguage.googleapis.com",
            "/v1/models/MODEL:generateContent",
        ),
        Provider(
            "mistral",
            "mistral",
            "MISTRAL_API_KEY",
            "MISTRAL_BASE_URL",
            "https://api.mistral.ai",
            "/v1/chat/completions",
        ),
    )
}
