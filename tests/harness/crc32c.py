"""The checksum of objects."""

import base64

import google_crc32c


def checksum(data: bytes) -> str:
    """The CRC-32C of data as Cloud Storage writes it."""
    return base64.b64encode(int(google_crc32c.value(data)).to_bytes(4, "big")).decode()
