"""The error of a refused request."""

from collections.abc import Awaitable

import pytest

from promptforge.errors import ApiError


async def refused_by(request: Awaitable[object]) -> ApiError:
    """Return the error with which a use case refuses a request."""
    with pytest.raises(ApiError) as raised:
        await request
    return raised.value
