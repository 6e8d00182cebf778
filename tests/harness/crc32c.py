"""The checksum of objects in Cloud Storage."""

import base64

import google_crc32c


def checksum(data: bytes) -> str:
    """Return the CRC-32C of data in the format of Cloud Storage."""
    return base64.b64encode(int(google_crc32c.value(data)).to_bytes(4, "big")).decode()
