"""Compressed files, other encodings, bytes that are not UTF-8, and halves of surrogate pairs."""

import gzip

from tests.corpus.case import AROUND, FIRST, LAST, Case, invalid, no_valid_line, rejected, row, valid

TWO = (FIRST + b"\n" + LAST + b"\n").decode()
GZIP = b"\x1f\x8b"

# A zip archive that stores its file as it is: local header, the two lines, central directory, end record.
ZIP_HEAD = (
    b"PK\x03\x04\x14\x00\x00\x00\x00\x00\x00\x00!\x00\xde\xad\xbe\xef\x4e\x00\x00\x00\x4e\x00\x00\x00\x01\x00\x00\x00p"
)
ZIP_TAIL = b"PK\x01\x02\x14\x03\x14\x00\xde\xad\xbe\xefPK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00"

COMPRESSED = [
    rejected("gzip", gzip.compress(TWO.encode(), mtime=0), "unsupported_encoding"),
    rejected("gzip of nothing", gzip.compress(b"", mtime=0), "unsupported_encoding"),
    rejected("gzip, two bytes of it", GZIP, "unsupported_encoding"),
    rejected("gzip, three bytes of it", GZIP + b"\x08", "unsupported_encoding"),
    rejected("gzip and prompts after it", GZIP + b"\n" + TWO.encode(), "unsupported_encoding"),
    no_valid_line("gzip, one byte of it", GZIP[:1], (1, "invalid_json", None)),
    no_valid_line("gzip after a byte order mark", b"\xef\xbb\xbf" + GZIP + b"\x08", (1, "invalid_utf8", None)),
    invalid("gzip on the second line", GZIP + b"\x08\x00", "invalid_utf8"),
    no_valid_line("bzip2", b"BZh91AY&SY\xde\xad\xbe\xef\x00\x00", (1, "invalid_utf8", None)),
    no_valid_line("xz", b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F", (1, "invalid_utf8", None)),
    no_valid_line("zstandard", b"\x28\xb5\x2f\xfd\x04\x58\x41", (1, "invalid_utf8", None)),
    no_valid_line("lz4", b"\x04\x22\x4d\x18\x64\x40\xa7", (1, "invalid_utf8", None)),
    Case(
        "zip that stores its file as it is",
        ZIP_HEAD + TWO.encode() + ZIP_TAIL,
        3,
        AROUND[1:],
        ((1, "invalid_utf8", None), (3, "invalid_utf8", None)),
    ),
]

# In other encodings the byte of a line feed still ends a line, and the rest of its code unit starts the next line.
ENCODINGS = [
    no_valid_line(
        "UTF-16 little-endian with its mark",
        b"\xff\xfe" + TWO.encode("utf-16-le"),
        (1, "invalid_utf8", None),
        (2, "invalid_json", None),
        (3, "invalid_json", None),
    ),
    no_valid_line(
        "UTF-16 big-endian with its mark",
        b"\xfe\xff" + TWO.encode("utf-16-be"),
        (1, "invalid_utf8", None),
        (2, "invalid_json", None),
    ),
    no_valid_line("UTF-16 little-endian, one line", FIRST.decode().encode("utf-16-le"), (1, "invalid_json", None)),
    no_valid_line("UTF-16 big-endian, one line", FIRST.decode().encode("utf-16-be"), (1, "invalid_json", None)),
    no_valid_line("UTF-16 with an accent", '{"é": 1}'.encode("utf-16-le"), (1, "invalid_utf8", None)),
    no_valid_line(
        "UTF-32 little-endian with its mark",
        b"\xff\xfe\x00\x00" + TWO.encode("utf-32-le"),
        (1, "invalid_utf8", None),
        (2, "invalid_json", None),
        (3, "invalid_json", None),
    ),
    no_valid_line(
        "UTF-32 big-endian with its mark",
        b"\x00\x00\xfe\xff" + TWO.encode("utf-32-be"),
        (1, "invalid_utf8", None),
        (2, "invalid_json", None),
    ),
    no_valid_line("UTF-32 little-endian, one line", FIRST.decode().encode("utf-32-le"), (1, "invalid_json", None)),
    no_valid_line("EBCDIC, with another byte for the line feed", TWO.encode("cp500"), (1, "invalid_utf8", None)),
    invalid("Latin-1", row("x", "café").decode().encode("latin-1"), "invalid_utf8"),
    invalid("Windows-1252 quotes", b'{"prompt_id": "x", "prompt": "\x93hi\x94"}', "invalid_utf8"),
    invalid("Shift-JIS", row("x", "日本").decode().encode("shift-jis"), "invalid_utf8"),
    invalid("GB18030", row("x", "中文").decode().encode("gb18030"), "invalid_utf8"),
    invalid("KOI8-R", row("x", "да").decode().encode("koi8-r"), "invalid_utf8"),
    invalid("UTF-16 inside a UTF-8 file", '{"prompt_id": "x"}'.encode("utf-16-be"), "invalid_json"),
    invalid("UTF-7", b"+AHsAIg-prompt_id", "invalid_json"),
]

BYTES = {
    "a lone continuation byte": b"\x80",
    "a byte that never occurs, FF": b"\xff",
    "a byte that never occurs, FE": b"\xfe",
    "an overlong slash of two bytes": b"\xc0\xaf",
    "an overlong slash of three bytes": b"\xe0\x80\xaf",
    "an overlong slash of four bytes": b"\xf0\x80\x80\xaf",
    "an overlong delete": b"\xc1\xbf",
    "the NUL of Java": b"\xc0\x80",
    "half of a surrogate pair": b"\xed\xa0\x80",
    "a surrogate pair as of CESU-8": b"\xed\xa0\xbd\xed\xb8\x80",
    "a character past the last": b"\xf4\x90\x80\x80",
    "a lead byte past the last": b"\xf5\x80\x80\x80",
    "a sequence of five bytes": b"\xf8\x88\x80\x80\x80",
    "two bytes, one missing": b"\xc3",
    "three bytes, one missing": b"\xe4\xb8",
    "four bytes, one missing": b"\xf0\x9f\x98",
    "a lead byte before a letter": b"\xc3(",
    "a lead byte before a lead byte": b"\xe4\xe4\xb8\xad",
}

NOT_UTF8 = [
    *(
        invalid(f"text with {name}", b'{"prompt_id": "x", "prompt": "a%sb"}' % raw, "invalid_utf8")
        for name, raw in BYTES.items()
    ),
    invalid("not UTF-8 in the id", b'{"prompt_id": "x\xff", "prompt": "y"}', "invalid_utf8"),
    invalid("not UTF-8 in a name", b'{"\xff": 1, "prompt_id": "x", "prompt": "y"}', "invalid_utf8"),
    invalid("not UTF-8 in an unknown field", b'{"prompt_id": "x", "prompt": "y", "z": "\xff"}', "invalid_utf8"),
    invalid("not UTF-8 after the object", row("x") + b"\xff", "invalid_utf8"),
    invalid("not UTF-8 and no JSON either", b"hello \xff", "invalid_utf8"),
    invalid("not UTF-8 in a bomb", b"[" * 5000 + b"\xff", "invalid_utf8"),
    valid("the replacement character", row("second", "a\ufffdb"), text="a\ufffdb"),
    valid("the last character there is", row("second", "\U0010ffff"), text="\U0010ffff"),
    valid("no characters, but legal", row("second", "\ufffe\uffff"), text="\ufffe\uffff"),
]

HALVES = [
    invalid("first half in the text", rb'{"prompt_id": "x", "prompt": "\ud83d"}', "invalid_utf8"),
    invalid("second half in the text", rb'{"prompt_id": "x", "prompt": "\ude00"}', "invalid_utf8"),
    invalid("halves the wrong way round", rb'{"prompt_id": "x", "prompt": "\ude00\ud83d"}', "invalid_utf8"),
    invalid("two first halves", rb'{"prompt_id": "x", "prompt": "\ud83d\ud83d"}', "invalid_utf8"),
    invalid("halves with a letter between", rb'{"prompt_id": "x", "prompt": "\ud83da\ude00"}', "invalid_utf8"),
    invalid("half in capitals", rb'{"prompt_id": "x", "prompt": "\uD83D"}', "invalid_utf8"),
    invalid("half in the id", rb'{"prompt_id": "\udfff", "prompt": "y"}', "invalid_utf8"),
    invalid("half in a name", rb'{"\ud800": 1, "prompt_id": "x", "prompt": "y"}', "invalid_utf8"),
    invalid("half in an unknown field", rb'{"prompt_id": "x", "prompt": "y", "z": ["\udc00"]}', "invalid_utf8"),
    invalid("half under a repeated name", rb'{"prompt": "\ud800", "prompt_id": "x", "prompt": "y"}', "invalid_utf8"),
    invalid("half in a line that is a string", rb'"\ud800"', "invalid_utf8"),
    valid(
        "a whole pair in escapes",
        rb'{"prompt_id": "\ud83d\ude00", "prompt": "\uD83D\uDE00"}',
        "\U0001f600",
        "\U0001f600",
    ),
    valid("an escaped backslash before a half", rb'{"prompt_id": "second", "prompt": "\\ud83d"}', text=r"\ud83d"),
]

CASES = [*COMPRESSED, *ENCODINGS, *NOT_UTF8, *HALVES]
