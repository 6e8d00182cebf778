"""A provider that throttles every prompt but the first."""

from aiohttp import web

from tests.fakes.provider import openai_error


async def throttle_all_but_first(prompt: str, call: int) -> web.Response | None:
    """Answer the prompt `prompt 0` and throttle any other for a minute."""
    return None if prompt == "prompt 0" else openai_error(429, **{"Retry-After": "60"})
