"""The error of a rejected request."""

from collections.abc import Awaitable

import pytest

from promptforge.errors import RequestError


async def request_error(request: Awaitable[object]) -> RequestError:
    """Return the error with which a use case rejects a request."""
    with pytest.raises(RequestError) as raised:
        await request
    return raised.value
