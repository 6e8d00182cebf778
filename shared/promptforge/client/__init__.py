"""The Python client of the public API."""

from promptforge.client.async_client import AsyncClient, RequestFailed

__all__ = ["AsyncClient", "RequestFailed"]
