"""Lines that are JSON but no prompt: other types, and fields that are missing, invalid, unknown or duplicate."""

from tests.corpus.case import Case, invalid, valid

NOT_OBJECTS = [
    invalid(f"not an object: {text}", text.encode(), "not_an_object")
    for text in [
        *(
            "null",
            "true",
            "false",
            "0",
            "-1",
            "1.5",
            "1e3",
            '""',
            '"text"',
            "[]",
            "[1, 2]",
            "[[]]",
            "[{}]",
            '["a", "b"]',
        ),
        '[{"prompt_id": "x", "prompt": "y"}]',
        '"{\\"prompt_id\\": \\"x\\", \\"prompt\\": \\"y\\"}"',
    ]
]

MISSING_IDS = [
    invalid(f"missing id: {text}", text.encode(), "missing_prompt_id", words="no field prompt_id")
    for text in [
        "{}",
        '{"prompt": "y"}',
        '{"prompt": 7}',
        '{"id": "x", "prompt": "y"}',
        '{"promptId": "x", "prompt": "y"}',
        '{"Prompt_Id": "x", "prompt": "y"}',
        '{"prompt_id ": "x", "prompt": "y"}',
        '{" prompt_id": "x", "prompt": "y"}',
        '{"prompt-id": "x", "prompt": "y"}',
        '{"\ufeffprompt_id": "x", "prompt": "y"}',
        '{"\u0440rompt_id": "x", "prompt": "y"}',
        '{"data": {"prompt_id": "x", "prompt": "y"}}',
        '{"messages": [{"role": "user", "content": "y"}]}',
        '{"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}',
        '{"__proto__": {"prompt_id": "x"}, "prompt": "y"}',
        '{"": ""}',
    ]
]

INVALID_IDS = [
    invalid(f"id {value}", b'{"prompt_id": %s, "prompt": "y"}' % value.encode(), "invalid_prompt_id", words=words)
    for value, words in [
        ("null", "not null"),
        ("true", "not a boolean"),
        ("false", "not a boolean"),
        ("0", "not a number"),
        ("7", "not a number"),
        ("7.5", "not a number"),
        ("-0.0", "not a number"),
        ("1000000000000000000000000000000", "not a number"),
        ("[]", "not an array"),
        ('["x"]', "not an array"),
        ("{}", "not an object"),
        ('{"prompt_id": "x"}', "not an object"),
        ('""', "empty"),
    ]
]

MISSING_PROMPTS = [
    invalid(f"missing prompt: {text}", text.encode(), "missing_prompt", "x", "no field prompt")
    for text in [
        '{"prompt_id": "x"}',
        '{"prompt_id": "x", "Prompt": "y"}',
        '{"prompt_id": "x", "PROMPT": "y"}',
        '{"prompt_id": "x", "prompts": ["y"]}',
        '{"prompt_id": "x", "text": "y"}',
        '{"prompt_id": "x", "prompt ": "y"}',
        '{"prompt_id": "x", "prom\u0440t": "y"}',
        '{"prompt_id": "x", "message": []}',
    ]
]

INVALID_PROMPTS = [
    invalid(f"prompt {value}", b'{"prompt_id": "x", "prompt": %s}' % value.encode(), "invalid_prompt", "x", words)
    for value, words in [
        ("null", "not null"),
        ("true", "not a boolean"),
        ("false", "not a boolean"),
        ("0", "not a number"),
        ("42", "not a number"),
        ("1.5", "not a number"),
        ("[]", "not an array"),
        ('["y"]', "not an array"),
        ('[{"role": "user", "content": "y"}]', "not an array"),
        ("{}", "not an object"),
        ('{"text": "y"}', "not an object"),
        ('""', "empty"),
    ]
]

TWO_ERRORS = [
    invalid("id and prompt of the wrong type", b'{"prompt_id": 1, "prompt": 2}', "invalid_prompt_id"),
    invalid("id empty, prompt absent", b'{"prompt_id": ""}', "invalid_prompt_id"),
    invalid("id null, prompt null", b'{"prompt_id": null, "prompt": null}', "invalid_prompt_id"),
    invalid("id too long, prompt empty", b'{"prompt_id": "%s", "prompt": ""}' % (b"x" * 1025), "invalid_prompt_id"),
    invalid("odd id, prompt empty", rb'{"prompt_id": "../\u0000", "prompt": ""}', "invalid_prompt", "../\0"),
]

UNKNOWN = [
    valid("no space anywhere", b'{"prompt_id":"second","prompt":"two"}'),
    valid("space everywhere", b' \t{ \t"prompt_id"\t:\r"second" , "prompt" : "two" \r} \t\r'),
    valid("the fields the other way round", b'{"prompt": "two", "prompt_id": "second"}'),
    valid(
        "unknown fields of every kind",
        b'{"a":null,"b":[1,{"c":"d"}],"prompt_id":"second","e":{},"prompt":"two","f":1.5}',
    ),
    valid("an unknown field without a name", b'{"": 1, "prompt_id": "second", "prompt": "two"}'),
    valid(
        "known names at a deeper level", b'{"z": {"prompt_id": 7, "prompt": 8}, "prompt_id": "second", "prompt": "two"}'
    ),
    valid("names that are special elsewhere", b'{"__proto__": 1, "$ref": "x", "prompt_id": "second", "prompt": "two"}'),
    valid("names in escapes", rb'{"prompt\u005fid": "second", "\u0070rompt": "two"}'),
    valid(
        "ten thousand unknown fields",
        b'{"prompt_id": "second",%s "prompt": "two"}' % b"".join(b'"f%d": 1,' % n for n in range(10_000)),
    ),
    valid("half a megabyte of unknown text", b'{"prompt_id": "second", "z": "%s", "prompt": "two"}' % (b"z" * 500_000)),
    valid(
        "fields of the results file",
        b'{"prompt_id": "second", "result": "x", "model": "m", "line": 9, "prompt": "two"}',
        model="m",
    ),
    valid("a prompt of one space", b'{"prompt_id": "second", "prompt": " "}', text=" "),
    valid("a prompt of one NUL", rb'{"prompt_id": "second", "prompt": "\u0000"}', text="\0"),
    valid("a prompt of one line feed", rb'{"prompt_id": "second", "prompt": "\n"}', text="\n"),
    valid(
        "a prompt that is JSON",
        rb'{"prompt_id": "second", "prompt": "{\"prompt_id\": \"x\"}"}',
        text='{"prompt_id": "x"}',
    ),
    valid("every short escape", rb'{"prompt_id": "second", "prompt": "\"\\\/\b\f\n\r\t"}', text='"\\/\b\f\n\r\t'),
    valid(
        "half a million escaped line feeds",
        rb'{"prompt_id": "second", "prompt": "%s"}' % (rb"\n" * 500_000),
        text="\n" * 500_000,
    ),
    valid(
        "a hundred thousand long escapes",
        rb'{"prompt_id": "second", "prompt": "%s"}' % (rb"\u0041" * 100_000),
        text="A" * 100_000,
    ),
    valid(
        "a hundred thousand NULs",
        rb'{"prompt_id": "second", "prompt": "%s"}' % (rb"\u0000" * 100_000),
        text="\0" * 100_000,
    ),
    valid(
        "a quarter of a million wide letters",
        ('{"prompt_id": "second", "prompt": "%s"}' % ("中" * 250_000)).encode(),
        text="中" * 250_000,
    ),
]

DUPLICATE_NAMES = [
    valid("id twice", b'{"prompt_id": "x", "prompt_id": "second", "prompt": "two"}'),
    valid("prompt twice", b'{"prompt_id": "second", "prompt": "one", "prompt": "two"}'),
    valid("id twice, the first of the wrong type", b'{"prompt_id": 7, "prompt_id": "second", "prompt": "two"}'),
    valid("id twice, once in escapes", rb'{"prompt_id": "x", "prompt\u005fid": "second", "prompt": "two"}'),
    valid("a used id, then another", b'{"prompt_id": "first", "prompt_id": "second", "prompt": "two"}'),
    invalid(
        "id twice, the last of the wrong type",
        b'{"prompt_id": "x", "prompt": "y", "prompt_id": 7}',
        "invalid_prompt_id",
    ),
    invalid("id twice, the last empty", b'{"prompt_id": "x", "prompt": "y", "prompt_id": ""}', "invalid_prompt_id"),
    invalid("prompt twice, the last null", b'{"prompt_id": "x", "prompt": "y", "prompt": null}', "invalid_prompt", "x"),
    invalid(
        "another id, then a used one",
        b'{"prompt_id": "x", "prompt_id": "first", "prompt": "y"}',
        "duplicate_prompt_id",
        "first",
    ),
]

PARAMETERS = [
    *(
        invalid(f"invalid parameter: {text}", f'{{"prompt_id": "x", {text}}}'.encode(), "invalid_parameter", "x", words)
        for text, words in [
            ('"messages": []', "messages"),
            ('"messages": null', "messages"),
            ('"messages": "y"', "messages"),
            ('"messages": [{"role": "robot", "content": "y"}]', "messages.0.role"),
            ('"prompt": "y", "messages": [{"role": "user", "content": "z"}]', "not both"),
            ('"prompt": "y", "temperature": 2.5', "temperature"),
            ('"prompt": "y", "temperature": "hot"', "temperature"),
            ('"prompt": "y", "max_tokens": 0', "max_tokens"),
            ('"prompt": "y", "max_tokens": 1.5', "max_tokens"),
            ('"prompt": "y", "model": 4', "model"),
            ('"prompt": "y", "metadata": "z"', "metadata"),
            ('"prompt": "y", "extra": {"stream": true}', "stream"),
            ('"prompt": "y", "response_format": {"type": "json_schema", "schema": {"type": 5}}', "response_format"),
        ]
    ),
    valid("a conversation", b'{"prompt_id": "second", "messages": [{"role": "user", "content": "two"}]}'),
    valid("parameters", b'{"prompt_id": "second", "prompt": "two", "temperature": 0, "max_tokens": 3.0, "stop": "."}'),
    valid("parameters of null", b'{"prompt_id": "second", "prompt": "two", "seed": null, "metadata": null}'),
    valid("a model of its own", b'{"prompt_id": "second", "prompt": "two", "model": "echo-2"}', model="echo-2"),
    valid("unknown parameters", b'{"prompt_id": "second", "prompt": "two", "top_k": 0, "stream": true, "n": 3}'),
]

CASES: list[Case] = [
    *(*NOT_OBJECTS, *MISSING_IDS, *INVALID_IDS, *MISSING_PROMPTS, *INVALID_PROMPTS),
    *(*TWO_ERRORS, *UNKNOWN, *DUPLICATE_NAMES, *PARAMETERS),
]
