"""The proxy for the address of a provider, from the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY."""

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy for an address, or None for a direct connection.

    The variables mean the same as for the official SDKs. An address of this machine is always reached directly.
    """
    parts, proxies = urlsplit(url), getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or not parts.hostname or is_loopback(parts.hostname):
        return None
    if proxy_bypass_environment(parts.netloc.rpartition("@")[2], proxies):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
