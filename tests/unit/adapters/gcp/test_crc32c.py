"""The checksum of composed objects."""

from hypothesis import given
from hypothesis import strategies as st

from promptforge.adapters.gcp.crc32c import combine
from promptforge.ports.objects import ObjectInfo
from tests.harness.crc32c import checksum


@given(st.lists(st.binary(max_size=300), max_size=32))
def test_joined_any_parts_return_checksum_of_whole(parts: list[bytes]) -> None:
    infos = [ObjectInfo("part", 1, len(part), checksum(part)) for part in parts]
    whole = b"".join(parts)

    assert combine(infos) == (len(whole), checksum(whole))


def test_joined_large_parts_return_checksum_of_whole() -> None:
    zeros, ones = bytes(3_000_001), b"\1" * 2_000_003

    infos = [ObjectInfo("part", 1, len(part), checksum(part)) for part in (zeros, ones, zeros)]

    assert combine(infos) == (8_000_005, checksum(zeros + ones + zeros))
