"""A provider that throttles every prompt but the first."""

from aiohttp import web

from tests.fakes.openai_server import refusal


async def throttle_all_but_first(prompt: str, call: int) -> web.Response | None:
    """Answer the prompt `prompt 0` and throttle any other for a minute."""
    return None if prompt == "prompt 0" else refusal(429, **{"Retry-After": "60"})
