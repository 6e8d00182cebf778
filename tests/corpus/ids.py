"""Any text of at most 1,024 bytes is a prompt_id and is returned unchanged; similar ids stay different."""

from tests.corpus.case import Case, invalid, row, valid

ODD = {
    "a way up": "../../x",
    "a way up in Windows": "..\\..\\x",
    "a path": "a/b/c",
    "the root": "/",
    "an absolute path": "/etc/passwd",
    "one dot": ".",
    "two dots": "..",
    "a reserved name": "__x__",
    "a reserved name of devices": "CON",
    "a hidden file": ".htaccess",
    "a result file of this product": "errors.jsonl",
    "a part of this product": "results_part_001.jsonl",
    "a job id of this product": "00000000-0000-4000-8000-000000000000",
    "a NUL": "\0",
    "a NUL inside": "a\0b",
    "a line feed": "\n",
    "line ends": "a\r\nb\n",
    "a tab": "\t",
    "an escape sequence": "\x1b[31mred\x1b[0m",
    "a bell": "\x07",
    "delete": "\x7f",
    "one space": " ",
    "spaces around": "  x  ",
    "a no-break space": "\u00a0",
    "a space of no width": "\u200b",
    "a byte order mark": "\ufeff",
    "a line separator": "a\u2028b",
    "a paragraph separator": "a\u2029b",
    "a next-line character": "a\u0085b",
    "right to left": "\u202egpj.exe",
    "isolates": "\u2066x\u2069",
    "a formula": "=cmd|' /C calc'!A0",
    "a formula with plus": "+1+1",
    "a formula with at": "@SUM(A1)",
    "an attack on SQL": "'; drop table documents; --",
    "an attack on a page": "<script>alert(1)</script>",
    "an attack on a shell": "$(rm -rf /) `x` ; & |",
    "an attack on logs": "${jndi:ldap://x}",
    "a format": "%s%n{0}{{x}}",
    "a query": "?a=b&c=d#e",
    "percent signs": "%2e%2e%2f%00",
    "quotes": "\"'`",
    "a backslash": "\\",
    "an escaped escape": "\\u0041",
    "a comma": "a,b;c\td",
    "null": "null",
    "true": "true",
    "zero": "0",
    "a number": "1e999",
    "NaN": "NaN",
    "an array": "[]",
    "an object": '{"prompt_id": "x"}',
    "a replacement character": "\ufffd",
    "a private character": "\ue000",
    "no character": "\uffff",
    "the last character": "\U0010ffff",
    "a family": "👨\u200d👩\u200d👧\u200d👦",
    "a flag": "🇳🇴",
    "many accents": "e" + "\u0301" * 300,
    "a tag": "\U000e0041",
    "Arabic": "مرحبا",
    "Japanese": "日本語",
}

# Pairs of ids that a normalizing comparison would treat as equal.
ALIKE = {
    "composed and decomposed": ("\u00e9", "e\u0301"),
    "Hangul composed and decomposed": ("\uac00", "\u1100\u1161"),
    "a ligature": ("\ufb01", "fi"),
    "wide letters": ("\uff41", "a"),
    "the sign and the letter": ("\u212b", "\u00c5"),
    "small and capital": ("id", "ID"),
    "the capital of sharp s": ("ß", "ss"),
    "the dotless i": ("I", "\u0131"),
    "Latin and Cyrillic": ("a", "\u0430"),
    "space at the end": ("x", "x "),
    "space at the start": ("x", " x"),
    "no-break and other space": ("a b", "a\u00a0b"),
    "a character of no width": ("x", "x\u200b"),
    "a NUL at the end": ("x", "x\0"),
    "a byte order mark at the start": ("x", "\ufeffx"),
    "number and number with zero": ("1", "01"),
    "whole and fraction": ("1", "1.0"),
    "a letter and its escape, escaped": ("a", "\\u0061"),
    "with and without variation selector": ("\u2764", "\u2764\ufe0f"),
    "the last byte of 1,024": ("x" * 1023 + "a", "x" * 1023 + "b"),
}

ESCAPE = b"\\u0001"
TOO_LONG = "longer than 1024 bytes"

LENGTHS = [
    valid("1,024 letters", row("a" * 1024, "two"), "a" * 1024),
    invalid("1,025 letters", row("a" * 1025), "invalid_prompt_id", words=TOO_LONG),
    valid("1,024 bytes in letters of two", row("é" * 512, "two"), "é" * 512),
    invalid("1,025 bytes in letters of two and one", row("é" * 512 + "a"), "invalid_prompt_id", words=TOO_LONG),
    valid("1,023 bytes in letters of three", row("中" * 341, "two"), "中" * 341),
    valid("1,024 bytes in letters of three and one", row("中" * 341 + "a", "two"), "中" * 341 + "a"),
    invalid("1,026 bytes in letters of three", row("中" * 342), "invalid_prompt_id", words=TOO_LONG),
    valid("1,024 bytes in characters of four", row("😀" * 256, "two"), "😀" * 256),
    invalid(
        "1,025 bytes, a letter before characters of four", row("a" + "😀" * 256), "invalid_prompt_id", words=TOO_LONG
    ),
    valid("256 letters", row("b" * 256, "two"), "b" * 256),
    valid("257 letters", row("b" * 257, "two"), "b" * 257),
    valid(
        "1,024 bytes, six times as long in escapes",
        b'{"prompt_id": "%s", "prompt": "two"}' % (ESCAPE * 1024),
        "\x01" * 1024,
    ),
    invalid(
        "1,025 bytes in escapes",
        b'{"prompt_id": "%s", "prompt": "x"}' % (ESCAPE * 1025),
        "invalid_prompt_id",
        words=TOO_LONG,
    ),
    invalid("half a megabyte", row("a" * 500_000), "invalid_prompt_id", words=TOO_LONG),
    valid("one letter", row("s", "two"), "s"),
]

CASES: list[Case] = [
    *(valid(f"id: {name}", row(prompt_id, "two"), prompt_id) for name, prompt_id in ODD.items()),
    *(
        Case(f"alike: {name}", row(one, "1") + b"\n" + row(other, "2"), 2, ((one, "1"), (other, "2")))
        for name, (one, other) in ALIKE.items()
    ),
    *LENGTHS,
]
