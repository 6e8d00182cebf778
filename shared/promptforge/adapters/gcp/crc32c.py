"""CRC-32C of objects joined, from their own checksums and sizes: what a compose should have made, unread."""

import base64
from collections.abc import Iterable

from promptforge.ports.objects import ObjectInfo

POLYNOMIAL = 0x82F63B78  # reflected: bit 31 is x^0, bit 0 is x^31
ONE = 1 << 31
BYTE = 1 << 23  # x^8: one zero byte


def joined(parts: Iterable[ObjectInfo]) -> tuple[int, str]:
    """Size and checksum of the parts in order."""
    size, whole = 0, 0
    for part in parts:
        size += part.size
        whole = _times(whole, _zeros(part.size)) ^ int.from_bytes(base64.b64decode(part.crc32c), "big")
    return size, base64.b64encode(whole.to_bytes(4, "big")).decode()


def _zeros(count: int) -> int:
    """x^(8 * count): what so many zero bytes behind it do to a checksum."""
    power, square = ONE, BYTE
    while count:
        if count & 1:
            power = _times(power, square)
        square = _times(square, square)
        count >>= 1
    return power


def _times(left: int, right: int) -> int:
    """The product of two polynomials, modulo CRC-32C's."""
    product = 0
    for bit in range(31, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (POLYNOMIAL if right & 1 else 0)
    return product
