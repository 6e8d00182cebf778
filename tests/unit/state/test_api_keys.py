"""API keys: created, found by their hash, listed and revoked."""

from pathlib import Path

from promptforge.domain.api_keys import is_mistyped
from promptforge.state.api_keys import API_KEYS, ApiKeyStore
from tests.harness.clock import ManualClock
from tests.harness.in_process import in_process_stack


async def test_create_returns_a_key_that_finds_its_client(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        store = one.context.api_keys
        first, second = await store.create("alice"), await store.create("alice")

        assert first != second
        assert not is_mistyped(first)
        assert [await store.find_client(store.hash(key)) for key in (first, second, one.key)] == [
            "alice",
            "alice",
            "tests",
        ]


async def test_find_client_of_unknown_key_returns_none(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        hashed = one.context.api_keys.hash(one.key)
        same_path = hashed[:16] + "0" * 48

        assert await one.context.api_keys.find_client(one.context.api_keys.hash("pf_unknown")) is None
        assert await one.context.api_keys.find_client(same_path) is None


async def test_hash_depends_on_the_pepper(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        other = ApiKeyStore(one.context.documents, b"another pepper", one.context.clock)

        assert other.hash(one.key) != one.context.api_keys.hash(one.key)
        assert await other.find_client(other.hash(one.key)) is None


async def test_create_stores_the_hash_and_never_the_key(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        (document,) = await one.context.documents.query(API_KEYS, limit=10)

        assert document.data == {
            "schema": 1,
            "hash": one.context.api_keys.hash(one.key),
            "client": "tests",
            "created_at": clock.time,
            "revoked_at": None,
        }


async def test_list_for_one_client_or_all_returns_their_keys(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        store = one.context.api_keys
        hashes = {store.hash(await store.create("alice")) for _ in range(2)}

        assert {key.hash for key in await store.list_for("alice")} == hashes
        assert {key.key_id for key in await store.list_for("alice")} == {hashed[:16] for hashed in hashes}
        assert {key.client for key in await store.list_for(None)} == {"alice", "tests"}
        assert await store.list_for("nobody") == []


async def test_revoke_of_one_key_keeps_the_others(tmp_path: Path) -> None:
    clock = ManualClock()
    async with in_process_stack(tmp_path, clock) as one:
        store = one.context.api_keys
        first, second = await store.create("alice"), await store.create("alice")
        clock.advance(5)
        revoked = await store.revoke("alice", store.hash(first)[:16])

        assert revoked == 1
        assert await store.find_client(store.hash(first)) is None
        assert await store.find_client(store.hash(second)) == "alice"
        assert {key.revoked_at for key in await store.list_for("alice")} == {clock.time, None}


async def test_revoke_counts_the_keys_that_it_revokes_now(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        store = one.context.api_keys
        for _ in range(2):
            await store.create("alice")

        assert await store.revoke("alice", "no such id") == 0
        assert await store.revoke("alice", store.hash(one.key)[:16]) == 0  # the key of another client
        assert [await store.revoke("alice", None) for _ in range(2)] == [2, 0]
        assert await store.find_client(store.hash(one.key)) == "tests"


async def test_admit_of_known_key_keeps_it_and_tells_whether_it_is_valid(tmp_path: Path) -> None:
    async with in_process_stack(tmp_path) as one:
        store = one.context.api_keys
        first = await store.admit("alice", "chosen elsewhere")
        again = await store.admit("bob", "chosen elsewhere")
        owner = await store.find_client(store.hash("chosen elsewhere"))
        await store.revoke("alice", None)

        assert (first, again, owner) == (True, True, "alice")
        assert await store.admit("alice", "chosen elsewhere") is False
        assert await store.find_client(store.hash("chosen elsewhere")) is None
