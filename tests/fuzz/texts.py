"""Input lines: from noise to lines that differ from a valid one in a single byte.

Strategies find the smallest line that fails. A generator with a seed makes a hundred times as many lines in the same
time.
"""

import json
import random

from hypothesis import strategies as st

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

ODD_CHARACTERS = '\x00\t\n\r\x0b\x1a\x1e\x7f\x85\xa0\ufeff\u2028\u202e\ufffd\ud800\udc00\U0001f600éa"\\/'
FIELDS = ["prompt_id", "prompt", "prompt_id ", "Prompt", "", "x", "__proto__", "\ud800"]
IDS = ["a", "", "a" * 1024, "a" * 1025, "é" * 512, "é" * 512 + "a", "中" * 341, "中" * 342, "😀" * 256]
VALID = b'{"prompt_id": "p1", "prompt": "Why is the sky blue?"}'

TOKENS = [
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b" ", b"\t", b"\r", b"\x00", b"\x0b", b"\xef\xbb\xbf", b"//"),
    *(b'"prompt_id"', b'"prompt"', b'"prompt_id":"a"', b'"prompt":"b"', b'"a"', b'""', b"null", b"true", b"NaN"),
    *(b"0", b"-0", b"01", b"1e999", b"1e308", b"9" * 400, b"9" * 30, b"Infinity", b"[" * 2000, b"]" * 400, b"'"),
    *(rb"\ud800", rb"\udc00", rb"\u0000", rb"\u12", rb"\n", rb"\x41", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90"),
    *("é".encode(), "\u2028".encode(), "😀".encode(), b"x" * 300, b"\x1f\x8b", b'{"x":' * 400, b"}" * 400),
]

characters = st.characters(codec=None) | st.sampled_from(ODD_CHARACTERS)
texts = st.text(characters, max_size=12)
scalars = st.sampled_from([None, True, 0, -7, 0.5, 10**20, 10**309, float("inf"), float("nan")]) | texts
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), scalars, max_size=3)
pairs = st.tuples(st.sampled_from(FIELDS), texts | st.sampled_from(IDS) | values)


def as_json_line(fields: list[tuple[str, Json]], plain: bool) -> bytes:
    """Return an object as text, with possible duplicate fields.

    The standard library also writes numbers and characters that JSON and UTF-8 forbid.
    """
    text = ",".join(f"{json.dumps(name)}:{json.dumps(value, ensure_ascii=plain)}" for name, value in fields)
    return f"{{{text}}}".encode("utf-8", "surrogatepass").replace(b"\n", b" ")


objects = st.builds(as_json_line, st.lists(pairs, min_size=1, max_size=5), st.booleans())
valid = st.builds(
    lambda prompt_id, prompt, rest, plain: as_json_line([*rest, ("prompt_id", prompt_id), ("prompt", prompt)], plain),
    st.text(characters, min_size=1, max_size=9),
    st.text(characters, min_size=1, max_size=9),
    st.lists(pairs, max_size=1),
    st.booleans(),
)
lines = st.one_of(valid, objects, st.binary(max_size=60), st.lists(st.sampled_from(TOKENS), max_size=9).map(b"".join))


PARAMS: dict[str, list[Json]] = {
    "temperature": [0, 1.5, 2.0, None],
    "max_tokens": [1, 3.0, None],
    "stop": ["x", ["x", "y"]],
    "seed": [0, -1],
    "model": ["m", "é" * 200],
    "metadata": [{}, {"a": [1]}],
    "extra": [{"a": {"b": None}}],
    "response_format": [{"type": "json_object"}, {"type": "json_schema", "schema": {}}],
    "messages": [[{"role": "user", "content": "x"}], [{"role": "system", "content": "x"}]],
}


def lines_with_params(seed: int, count: int) -> list[bytes]:
    """Return valid and invalid lines with parameters or with messages in place of the prompt."""
    rng = random.Random(seed)
    return [_with_params(rng) for _ in range(count)]


def many_lines(seed: int, count: int) -> list[bytes]:
    """Return lines that depend only on the seed."""
    rng = random.Random(seed)
    makers = [_damaged, _damaged, _scrambled, _object, _object, _noise]
    return [rng.choice(makers)(rng) for _ in range(count)]


def _damaged(rng: random.Random) -> bytes:
    line = bytearray(VALID)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        at = rng.randrange(len(line) + 1)
        put = rng.choice([rng.choice(TOKENS), rng.randbytes(1), b"", line[: rng.randrange(20)]])
        line[at : at + rng.choice([0, 0, 1, 5])] = put
    return bytes(line)


def _scrambled(rng: random.Random) -> bytes:
    return b"".join(rng.choices(TOKENS, k=rng.randrange(10)))


def _object(rng: random.Random) -> bytes:
    fields: list[tuple[str, Json]] = [(rng.choice(FIELDS), _value(rng)) for _ in range(rng.randrange(3))]
    fields += [("prompt_id", rng.choice([_text(rng), rng.choice(IDS), "a", "b", _value(rng)])), ("prompt", _value(rng))]
    rng.shuffle(fields)
    return as_json_line(fields, rng.random() < 0.5)


def _with_params(rng: random.Random) -> bytes:
    names = rng.sample(sorted(PARAMS), rng.randrange(1, 4))
    kind = rng.random()
    fields: list[tuple[str, Json]] = [("prompt_id", "a" if kind < 0.8 else rng.choice(IDS))]
    if ("messages" not in names) == (kind < 0.9):
        fields.append(("prompt", "x" if kind < 0.7 else _value(rng)))
    for name in names:
        other = rng.choice(list(PARAMS.values()))
        fields.append((name, rng.choice(PARAMS[name] if rng.random() < 0.7 else [*other, _value(rng)])))
    rng.shuffle(fields)
    return as_json_line(fields, rng.random() < 0.5)


def _noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(80))


def _value(rng: random.Random) -> Json:
    kind = rng.randrange(10)
    if kind < 6:
        return _text(rng)
    others: list[Json] = [None, False, rng.randrange(-(10**30), 10**30), rng.uniform(-1e300, 1e300), [_text(rng)], {}]
    return rng.choice(others)


def _text(rng: random.Random) -> str:
    text = "".join(chr(rng.randrange(32, 0x2FFF)) for _ in range(rng.randrange(9)))
    return text + rng.choice(ODD_CHARACTERS) if rng.random() < 0.4 else text
