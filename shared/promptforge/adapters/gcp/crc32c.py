"""CRC-32C of joined objects, computed from their checksums and sizes.

It is the expected checksum of a compose, without reading the objects.
"""

import base64
from collections.abc import Iterable

from promptforge.ports.objects import ObjectInfo

POLYNOMIAL = 0x82F63B78  # reflected: bit 31 is x^0, bit 0 is x^31
ONE = 1 << 31
BYTE = 1 << 23  # x^8: one zero byte


def combine(parts: Iterable[ObjectInfo]) -> tuple[int, str]:
    """Return the size and the checksum of the parts in order."""
    size, whole = 0, 0
    for part in parts:
        size += part.size
        whole = _times(whole, _zeros(part.size)) ^ int.from_bytes(base64.b64decode(part.crc32c), "big")
    return size, base64.b64encode(whole.to_bytes(4, "big")).decode()


def _zeros(count: int) -> int:
    """Return x^(8 * count), the effect of `count` appended zero bytes on a checksum."""
    power, square = ONE, BYTE
    while count:
        if count & 1:
            power = _times(power, square)
        square = _times(square, square)
        count >>= 1
    return power


def _times(left: int, right: int) -> int:
    """Return the product of two polynomials, modulo that of CRC-32C."""
    product = 0
    for bit in range(31, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (POLYNOMIAL if right & 1 else 0)
    return product
