"""Nesting bombs, invalid numbers, and text that is nearly JSON."""

from tests.corpus.case import Case, invalid, row, valid


def extra(value: bytes) -> bytes:
    """Return a valid line with a value in an unknown field."""
    return b'{"prompt_id": "second", "prompt": "two", "x": ' + value + b"}"


def arrays(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def objects(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


# The object of the line is one level.
DEEP = [
    valid("1,024 levels with arrays", extra(arrays(1023))),
    invalid("1,025 levels with arrays", extra(arrays(1024)), "json_too_deep", words="1,024"),
    valid("1,024 levels with objects", extra(objects(1023))),
    invalid("1,025 levels with objects", extra(objects(1024)), "json_too_deep"),
    invalid("1,024 levels of arrays alone", arrays(1024), "not_an_object"),
    invalid("1,025 levels of arrays alone", arrays(1025), "json_too_deep"),
    invalid("a hundred thousand levels of arrays", extra(arrays(100_000)), "json_too_deep"),
    invalid("a hundred thousand levels of objects", extra(objects(100_000)), "json_too_deep"),
    invalid("a hundred thousand arrays, none closed", b"[" * 100_000, "json_too_deep"),
    invalid("a hundred thousand objects, none closed", b'{"a":' * 100_000, "json_too_deep"),
    invalid("a bomb in place of the prompt", b'{"prompt_id": "x", "prompt": ' + arrays(50_000) + b"}", "json_too_deep"),
    invalid("a bomb in place of the id", b'{"prompt_id": ' + arrays(50_000) + b', "prompt": "x"}', "json_too_deep"),
    valid("brackets in a text are text", row("second", "[" * 100_000), text="[" * 100_000),
    valid("wide is not deep", extra(b"[" + b"[]," * 100_000 + b"[]]")),
    valid("many small numbers", extra(b"[" + b"1," * 200_000 + b"1]")),
]

NUMBERS = [
    *(
        invalid(f"number {text}", extra(text.encode()), "invalid_json")
        for text in [
            *(
                "NaN",
                "-NaN",
                "nan",
                "Infinity",
                "-Infinity",
                "inf",
                "1e999",
                "-1e999",
                "1e309",
                "01",
                "-01",
                "+1",
                "1.",
            ),
            *(
                ".5",
                "0x10",
                "0b1",
                "1_000",
                "1e",
                "1e+",
                "-",
                "--1",
                "1,5",
                "1 000",
                "\u0663",
                "1e5.5",
                "1f",
                "1n",
                "½",
            ),
        ]
    ),
    *(
        valid(f"number {text}", extra(text.encode()))
        for text in [
            *("0", "-0", "-0.0", "1e308", "1E+2", "1e-999", "0.1e1", "18446744073709551615", "18446744073709551616"),
            *("-9223372036854775809", "123456789012345678901234567890", "0.30000000000000004"),
        ]
    ),
    valid("a whole number of 308 digits", extra(b"9" * 308)),
    invalid("a whole number of 400 digits", extra(b"9" * 400), "invalid_json", words="number"),
    invalid("a whole number of 5,000 digits", extra(b"9" * 5000), "invalid_json", words="number"),
    invalid(
        "a whole number of 5,000 digits as id", b'{"prompt_id": ' + b"9" * 5000 + b', "prompt": "x"}', "invalid_json"
    ),
    valid("a fraction of 5,000 digits", extra(b"0." + b"1" * 5000)),
    invalid("NaN as prompt", b'{"prompt_id": "x", "prompt": NaN}', "invalid_json"),
    invalid("Infinity as id", b'{"prompt_id": Infinity, "prompt": "x"}', "invalid_json"),
]

NEARLY = {
    "single quotes": "{'prompt_id': 'x', 'prompt': 'y'}",
    "names without quotes": '{prompt_id: "x", prompt: "y"}',
    "curly quotes": "{“prompt_id”: “x”, “prompt”: “y”}",
    "backquotes": '{`prompt_id`: `x`, "prompt": "y"}',
    "a comma before the end": '{"prompt_id": "x", "prompt": "y",}',
    "a comma before the end of an array": '{"prompt_id": "x", "prompt": "y", "z": [1,]}',
    "a comma at the start": '{, "prompt_id": "x", "prompt": "y"}',
    "two commas": '{"prompt_id": "x",, "prompt": "y"}',
    "no comma": '{"prompt_id": "x" "prompt": "y"}',
    "no colon": '{"prompt_id" "x", "prompt": "y"}',
    "an equals sign for a colon": '{"prompt_id" = "x", "prompt" = "y"}',
    "no value": '{"prompt_id": "x", "prompt": }',
    "a name alone": '{"prompt_id": "x", "prompt"}',
    "a comma after the object": '{"prompt_id": "x", "prompt": "y"},',
    "a semicolon after the object": '{"prompt_id": "x", "prompt": "y"};',
    "a comment at the end": '{"prompt_id": "x", "prompt": "y"} // why',
    "a comment at the start": '/* x */ {"prompt_id": "x", "prompt": "y"}',
    "a comment inside": '{"prompt_id": "x", /* why */ "prompt": "y"}',
    "a comment of a shell": '# {"prompt_id": "x", "prompt": "y"}',
    "two objects": '{"prompt_id": "x", "prompt": "y"}{"prompt_id": "z", "prompt": "y"}',
    "two objects with a space between": '{"prompt_id": "x", "prompt": "y"} {"prompt_id": "z", "prompt": "y"}',
    "two objects with a comma between": '{"prompt_id": "x", "prompt": "y"}, {"prompt_id": "z", "prompt": "y"}',
    "an object and a word": '{"prompt_id": "x", "prompt": "y"} ok',
    "one brace too many": '{"prompt_id": "x", "prompt": "y"}}',
    "one brace too few": '{"prompt_id": "x", "prompt": "y"',
    "an open brace": "{",
    "a closed brace": "}",
    "an open bracket": "[",
    "a text that does not end": '{"prompt_id": "x", "prompt": "y}',
    "a tab in a text": '{"prompt_id": "x", "prompt": "a\tb"}',
    "a carriage return in a text": '{"prompt_id": "x", "prompt": "a\rb"}',
    "a NUL in a text": '{"prompt_id": "x", "prompt": "a\0b"}',
    "an escape in a text": '{"prompt_id": "x", "prompt": "\x1b[31mred"}',
    "a NUL at the end": '{"prompt_id": "x", "prompt": "y"}\0',
    "a NUL at the start": '\0{"prompt_id": "x", "prompt": "y"}',
    "a hex escape": r'{"prompt_id": "x", "prompt": "\x41"}',
    "an octal escape": r'{"prompt_id": "x", "prompt": "\101"}',
    "an escaped single quote": r'{"prompt_id": "x", "prompt": "it\'s"}',
    "a short unicode escape": r'{"prompt_id": "x", "prompt": "\u12"}',
    "a unicode escape in braces": r'{"prompt_id": "x", "prompt": "\u{41}"}',
    "a long unicode escape": r'{"prompt_id": "x", "prompt": "\U0001f600"}',
    "a backslash at the end": '{"prompt_id": "x", "prompt": "C:\\"}',
    "the None of Python": '{"prompt_id": "x", "prompt": "y", "z": None}',
    "the True of Python": '{"prompt_id": "x", "prompt": "y", "z": True}',
    "undefined": '{"prompt_id": "x", "prompt": undefined}',
    "a call": 'answer({"prompt_id": "x", "prompt": "y"})',
    "a function": '{"prompt_id": "x", "prompt": "y", "z": function() {}}',
    "joined texts": '{"prompt_id": "x", "prompt": "a" + "b"}',
    "three quotes": '{"prompt_id": "x", "prompt": """y"""}',
    "wide braces": '\uff5b"prompt_id": "x", "prompt": "y"\uff5d',
    "a wide colon": '{"prompt_id"\uff1a "x", "prompt": "y"}',
    "a guard against hijacking": ')]}\',{"prompt_id": "x", "prompt": "y"}',
    "a name that is a number": '{1: 2, "prompt_id": "x", "prompt": "y"}',
    "a word": "hello",
    "True": "True",
    "a lonely quote": '"',
    "a smile": "😀",
}

CASES: list[Case] = [
    *DEEP,
    *NUMBERS,
    *(invalid(f"nearly JSON: {name}", text.encode(), "invalid_json") for name, text in NEARLY.items()),
]
