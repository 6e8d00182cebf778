"""API keys: their form, their checksum and the stored hash."""

import hashlib
import hmac
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptforge.domain.api_keys import ALPHABET, hash_key, is_mistyped, make_key

KEY_BITS = 190
random_bits = st.integers(0, 2**KEY_BITS - 1)
KEY = make_key(2**KEY_BITS // 3)


@given(random_bits)
def test_make_key_any_bits_match_form_for_secret_scanners(bits: int) -> None:
    assert re.fullmatch(r"pf_[0-9A-Za-z]{32}[0-9A-Za-z]{6}", make_key(bits))


@given(random_bits)
def test_is_mistyped_made_key_returns_false(bits: int) -> None:
    assert not is_mistyped(make_key(bits))


@given(random_bits)
def test_make_key_encodes_all_random_bits(bits: int) -> None:
    body = make_key(bits)[3:35]

    assert sum(ALPHABET.index(digit) * 62**place for place, digit in enumerate(body)) == bits


def test_alphabet_is_base62() -> None:
    assert len(set(ALPHABET)) == len(ALPHABET) == 62
    assert ALPHABET.isalnum()
    assert ALPHABET.isascii()


def test_is_mistyped_wrong_character_returns_true() -> None:
    typos = [
        KEY[:at] + wrong + KEY[at + 1 :]
        for at in range(3, len(KEY))
        for wrong in ALPHABET + "-_ \u00e9"
        if wrong != KEY[at]
    ]

    assert len(typos) > 2000
    assert all(is_mistyped(typo) for typo in typos)


@settings(max_examples=50, deadline=None)
@given(random_bits)
def test_is_mistyped_swapped_characters_return_true(bits: int) -> None:
    key = make_key(bits)
    swaps = [key[:at] + key[at + 1] + key[at] + key[at + 2 :] for at in range(3, len(key) - 1)]

    assert all(is_mistyped(swap) for swap in swaps if swap != key)


@pytest.mark.parametrize("at", range(3, len(KEY)))
def test_is_mistyped_missing_or_repeated_character_returns_true(at: int) -> None:
    assert is_mistyped(KEY[:at] + KEY[at + 1 :])
    assert is_mistyped(KEY[:at] + KEY[at] + KEY[at:])


@pytest.mark.parametrize("key", [KEY + "\n", KEY + " ", "pf_", "pf_" + "\u0661" * 38, "pf_\x00", KEY + KEY])
def test_is_mistyped_prefix_without_form_returns_true(key: str) -> None:
    assert is_mistyped(key)


@pytest.mark.parametrize("key", ["", "my own key", "PF_" + KEY[3:], " " + KEY, "sk-123", "\x00"])
def test_is_mistyped_other_prefix_returns_false(key: str) -> None:
    assert not is_mistyped(key)


@given(st.text(max_size=45))
def test_is_mistyped_prefix_before_any_text_returns_true(text: str) -> None:
    assert is_mistyped("pf_" + text)


def test_hash_key_depends_on_pepper_and_key() -> None:
    other = make_key(2**KEY_BITS // 5)

    hashes = {hash_key(pepper, key) for pepper in (b"one", b"two") for key in (KEY, other)}

    assert len(hashes) == 4
    assert hash_key(b"one", KEY) == hmac.new(b"one", b"api-key:" + KEY.encode(), hashlib.sha256).hexdigest()
