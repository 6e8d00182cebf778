"""Lines that are JSON but no prompt: scalars, arrays, fields that are absent, wrong, strange or repeated (F16, F17)."""

from tests.corpus.case import Case, bad, fine

NO_OBJECT = [
    bad(f"no object: {text}", text.encode(), "not_an_object")
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

NO_ID = [
    bad(f"no id: {text}", text.encode(), "missing_prompt_id", said="no field prompt_id")
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

WRONG_ID = [
    bad(f"id {value}", b'{"prompt_id": %s, "prompt": "y"}' % value.encode(), "invalid_prompt_id", said=said)
    for value, said in [
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

NO_PROMPT = [
    bad(f"no prompt: {text}", text.encode(), "missing_prompt", "x", "no field prompt")
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

WRONG_PROMPT = [
    bad(f"prompt {value}", b'{"prompt_id": "x", "prompt": %s}' % value.encode(), "invalid_prompt", "x", said)
    for value, said in [
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

BOTH = [
    bad("id and prompt of the wrong type", b'{"prompt_id": 1, "prompt": 2}', "invalid_prompt_id"),
    bad("id empty, prompt absent", b'{"prompt_id": ""}', "invalid_prompt_id"),
    bad("id null, prompt null", b'{"prompt_id": null, "prompt": null}', "invalid_prompt_id"),
    bad("id too long, prompt empty", b'{"prompt_id": "%s", "prompt": ""}' % (b"x" * 1025), "invalid_prompt_id"),
    bad("odd id, prompt empty", rb'{"prompt_id": "../\u0000", "prompt": ""}', "invalid_prompt", "../\0"),
]

UNKNOWN = [
    fine("no space anywhere", b'{"prompt_id":"second","prompt":"two"}'),
    fine("space everywhere", b' \t{ \t"prompt_id"\t:\r"second" , "prompt" : "two" \r} \t\r'),
    fine("the fields the other way round", b'{"prompt": "two", "prompt_id": "second"}'),
    fine(
        "unknown fields of every kind",
        b'{"a":null,"b":[1,{"c":"d"}],"prompt_id":"second","e":{},"prompt":"two","f":1.5}',
    ),
    fine("an unknown field without a name", b'{"": 1, "prompt_id": "second", "prompt": "two"}'),
    fine("our names further in", b'{"z": {"prompt_id": 7, "prompt": 8}, "prompt_id": "second", "prompt": "two"}'),
    fine("names that are special elsewhere", b'{"__proto__": 1, "$ref": "x", "prompt_id": "second", "prompt": "two"}'),
    fine("names in escapes", rb'{"prompt\u005fid": "second", "\u0070rompt": "two"}'),
    fine(
        "ten thousand unknown fields",
        b'{"prompt_id": "second",%s "prompt": "two"}' % b"".join(b'"f%d": 1,' % n for n in range(10_000)),
    ),
    fine("half a megabyte of unknown text", b'{"prompt_id": "second", "z": "%s", "prompt": "two"}' % (b"z" * 500_000)),
    fine(
        "fields of the results file",
        b'{"prompt_id": "second", "result": "x", "model": "m", "line": 9, "prompt": "two"}',
        model="m",
    ),
    fine("a prompt of one space", b'{"prompt_id": "second", "prompt": " "}', text=" "),
    fine("a prompt of one NUL", rb'{"prompt_id": "second", "prompt": "\u0000"}', text="\0"),
    fine("a prompt of one line feed", rb'{"prompt_id": "second", "prompt": "\n"}', text="\n"),
    fine(
        "a prompt that is JSON",
        rb'{"prompt_id": "second", "prompt": "{\"prompt_id\": \"x\"}"}',
        text='{"prompt_id": "x"}',
    ),
    fine("every short escape", rb'{"prompt_id": "second", "prompt": "\"\\\/\b\f\n\r\t"}', text='"\\/\b\f\n\r\t'),
    fine(
        "half a million escaped line feeds",
        rb'{"prompt_id": "second", "prompt": "%s"}' % (rb"\n" * 500_000),
        text="\n" * 500_000,
    ),
    fine(
        "a hundred thousand long escapes",
        rb'{"prompt_id": "second", "prompt": "%s"}' % (rb"\u0041" * 100_000),
        text="A" * 100_000,
    ),
    fine(
        "a hundred thousand NULs",
        rb'{"prompt_id": "second", "prompt": "%s"}' % (rb"\u0000" * 100_000),
        text="\0" * 100_000,
    ),
    fine(
        "a quarter of a million wide letters",
        ('{"prompt_id": "second", "prompt": "%s"}' % ("中" * 250_000)).encode(),
        text="中" * 250_000,
    ),
]

REPEATED = [
    fine("id twice", b'{"prompt_id": "x", "prompt_id": "second", "prompt": "two"}'),
    fine("prompt twice", b'{"prompt_id": "second", "prompt": "one", "prompt": "two"}'),
    fine("id twice, the first of the wrong type", b'{"prompt_id": 7, "prompt_id": "second", "prompt": "two"}'),
    fine("id twice, once in escapes", rb'{"prompt_id": "x", "prompt\u005fid": "second", "prompt": "two"}'),
    fine("an id that is taken, then another", b'{"prompt_id": "first", "prompt_id": "second", "prompt": "two"}'),
    bad(
        "id twice, the last of the wrong type",
        b'{"prompt_id": "x", "prompt": "y", "prompt_id": 7}',
        "invalid_prompt_id",
    ),
    bad("id twice, the last empty", b'{"prompt_id": "x", "prompt": "y", "prompt_id": ""}', "invalid_prompt_id"),
    bad("prompt twice, the last null", b'{"prompt_id": "x", "prompt": "y", "prompt": null}', "invalid_prompt", "x"),
    bad(
        "another id, then one that is taken",
        b'{"prompt_id": "x", "prompt_id": "first", "prompt": "y"}',
        "duplicate_prompt_id",
        "first",
    ),
]

PARAMETERS = [
    *(
        bad(f"no good parameter: {text}", f'{{"prompt_id": "x", {text}}}'.encode(), "invalid_parameter", "x", said)
        for text, said in [
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
    fine("a conversation", b'{"prompt_id": "second", "messages": [{"role": "user", "content": "two"}]}'),
    fine("parameters", b'{"prompt_id": "second", "prompt": "two", "temperature": 0, "max_tokens": 3.0, "stop": "."}'),
    fine("parameters of null", b'{"prompt_id": "second", "prompt": "two", "seed": null, "metadata": null}'),
    fine("a model of its own", b'{"prompt_id": "second", "prompt": "two", "model": "echo-2"}', model="echo-2"),
    fine("unknown parameters", b'{"prompt_id": "second", "prompt": "two", "top_k": 0, "stream": true, "n": 3}'),
]

CASES: list[Case] = [
    *NO_OBJECT, *NO_ID, *WRONG_ID, *NO_PROMPT, *WRONG_PROMPT, *BOTH, *UNKNOWN, *REPEATED, *PARAMETERS,
]  # fmt: skip
