"""Files in other formats: valid lines in them are answered, and every other line has an error."""

from tests.corpus.case import AROUND, FIRST, LAST, Case, Error, no_valid_line, row

ONE, TWO, THREE = row("a", "1"), row("b", "2"), row("c", "3")


def one_error(name: str, content: bytes, *numbers: int, error: str = "invalid_json") -> Case:
    """Return a file without a valid line, whose lines all have the same error."""
    return no_valid_line(name, content, *((number, error, None) for number in numbers))


def not_json(*numbers: int) -> tuple[Error, ...]:
    return tuple((number, "invalid_json", None) for number in numbers)


TEXTS = [
    one_error("CSV", b"prompt_id,prompt\r\na,hello\r\nb,world\r\n", 1, 2, 3),
    one_error("CSV with quotes", b'"prompt_id","prompt"\n"a","hello"\n', 1, 2),
    no_valid_line(
        "CSV of numbers and of one column",
        b"id\n1\n2.5\n1,2\n",
        (1, "invalid_json", None),
        (2, "not_an_object", None),
        (3, "not_an_object", None),
        (4, "invalid_json", None),
    ),
    one_error("TSV", b"prompt_id\tprompt\na\thello\n", 1, 2),
    one_error("YAML", b"---\n- prompt_id: a\n  prompt: hello\n...\n", 1, 2, 3, 4),
    one_error("TOML", b'[[prompts]]\nprompt_id = "a"\nprompt = "hello"\n', 1, 2, 3),
    one_error("INI", b"[a]\nprompt=hello\n", 1, 2),
    one_error("XML", b'<?xml version="1.0"?>\n<prompts>\n  <prompt id="a">hello</prompt>\n</prompts>\n', 1, 2, 3, 4),
    one_error("a page that says 404", b"<!DOCTYPE html>\n<html>\n\n<h1>404</h1>\n</html>\n", 1, 2, 4, 5),
    one_error("an HTTP response with its headers", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]\r\n", 1, 2, 4),
    one_error("plain prompts, one a line", b"What is the capital of France?\nAnd of Norway?\n", 1, 2),
    one_error("SQL", b"insert into prompts values ('a', 'hello');\n", 1),
    one_error("RTF", b"{\\rtf1\\ansi hello}\n", 1),
    one_error("a shell script", b"#!/bin/sh\necho hello\n", 1, 2),
    one_error("Base64 of a valid line", b"eyJwcm9tcHRfaWQiOiAiYSIsICJwcm9tcHQiOiAiMSJ9\n", 1),
    one_error(
        "a form with a file", b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\nhello\r\n--x--\r\n', 1, 2, 4, 5
    ),
]

JSONS = [
    no_valid_line("an array on one line", b"[" + ONE + b", " + TWO + b"]\n", (1, "not_an_object", None)),
    Case("an array, one object a line", b"[\n" + ONE + b",\n" + TWO + b"\n]\n", 4, (("b", "2"),), not_json(1, 2, 4)),
    one_error("an array, pretty", b'[\n  {\n    "prompt_id": "a",\n    "prompt": "1"\n  }\n]\n', 1, 2, 3, 4, 5, 6),
    one_error("an object, pretty", b'{\n  "prompt_id": "a",\n  "prompt": "1"\n}\n', 1, 2, 3, 4),
    no_valid_line(
        "an object around them all", b'{"prompts": [' + ONE + b", " + TWO + b"]}\n", (1, "missing_prompt_id", None)
    ),
    no_valid_line("an object by id", b'{"a": "1", "b": "2"}\n', (1, "missing_prompt_id", None)),
    Case("JSONL with commas", ONE + b",\n" + TWO + b",\n" + THREE + b"\n", 3, (("c", "3"),), not_json(1, 2)),
    one_error("JSONL without line feeds", ONE + TWO + THREE, 1),
    one_error("JSONL with numbers before", b"1\t" + ONE + b"\n2\t" + TWO + b"\n", 1, 2),
    one_error("JSONL with bullets", b"- " + ONE + b"\n- " + TWO + b"\n", 1, 2),
    one_error("a JSON text sequence", b"\x1e" + ONE + b"\n\x1e" + TWO + b"\n", 1, 2),
    one_error("server-sent events", b"data: " + ONE + b"\n\ndata: " + TWO + b"\n\ndata: [DONE]\n\n", 1, 3, 5),
    one_error("dictionaries of Python", b"{'prompt_id': 'a', 'prompt': None}\n", 1),
    no_valid_line(
        "lines of JSON in JSON",
        rb'"{\"prompt_id\": \"a\", \"prompt\": \"1\"}"' + b"\n" + rb'"{\"prompt_id\": \"b\"}"',
        (1, "not_an_object", None),
        (2, "not_an_object", None),
    ),
    no_valid_line(
        "rows as arrays",
        b'["prompt_id", "prompt"]\n["a", "1"]\n',
        (1, "not_an_object", None),
        (2, "not_an_object", None),
    ),
    Case(
        "JSONL in a Markdown fence",
        b"```json\n" + ONE + b"\n" + TWO + b"\n```\n",
        4,
        (("a", "1"), ("b", "2")),
        not_json(1, 4),
    ),
    Case(
        "JSONL with comment lines",
        b"# prompts\n" + ONE + b"\n// more\n" + TWO + b"\n",
        4,
        (("a", "1"), ("b", "2")),
        not_json(1, 3),
    ),
    Case(
        "a conflict of a merge",
        b"<<<<<<< ours\n" + ONE + b"\n=======\n" + row("a", "9") + b"\n>>>>>>> theirs\n" + TWO,
        6,
        (("a", "1"), ("b", "2")),
        (
            (1, "invalid_json", None),
            (3, "invalid_json", None),
            (4, "duplicate_prompt_id", "a"),
            (5, "invalid_json", None),
        ),
        words={4: "line 2;"},
    ),
    one_error("a patch", b"@@ -1 +1 @@\n-" + ONE + b"\n+" + TWO + b"\n", 1, 2, 3),
    one_error("lines of a log", b"2026-01-01T00:00:00Z INFO " + ONE + b"\n", 1),
    no_valid_line(
        "a batch file of OpenAI",
        b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}\n',
        (1, "missing_prompt_id", None),
    ),
    no_valid_line(
        "result lines of this product",
        b'{"prompt_id":"a","result":"1","model":"echo-1","tokens_used":2}\n{"prompt_id":"b","result":"2"}\n',
        (1, "missing_prompt", "a"),
        (2, "missing_prompt", "b"),
    ),
    no_valid_line(
        "error lines of this product",
        b'{"prompt_id":null,"error":"invalid_json","message":"The line is not valid JSON.","attempts":0,"line":7}\n',
        (1, "invalid_prompt_id", None),
    ),
]

# A line feed is byte 10 of 256; the other files contain some by chance.
BINARIES = [
    no_valid_line("every byte once", bytes(range(256)), (1, "invalid_json", None), (2, "invalid_utf8", None)),
    one_error(
        "every byte but the line feed", bytes(byte for byte in range(256) if byte != 10), 1, error="invalid_utf8"
    ),
    one_error("a thousand NULs", b"\x00" * 1000, 1),
    one_error("a thousand bytes FF", b"\xff" * 1000, 1, error="invalid_utf8"),
    no_valid_line(
        "PNG",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00\x90\x77",
        (1, "invalid_utf8", None),
        (2, "invalid_json", None),
        (3, "invalid_utf8", None),
    ),
    no_valid_line(
        "PDF",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
        (1, "invalid_json", None),
        (2, "invalid_utf8", None),
        (3, "invalid_json", None),
    ),
    one_error("JPEG", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", 1, error="invalid_utf8"),
    one_error("a program of Linux", b"\x7fELF\x02\x01\x01\x00" + b"\x00" * 8, 1),
    one_error("a database of SQLite", b"SQLite format 3\x00\x10\x00", 1),
    one_error("Parquet", b"PAR1\x15\x04\x15\x80\xff", 1, error="invalid_utf8"),
    one_error("a pickle", b"\x80\x04\x95\x0b\x00}\x94.", 1, error="invalid_utf8"),
    Case(
        "binary in the middle",
        FIRST + b"\n\x00\x01\xff\xfe\n\x80\n" + LAST,
        4,
        AROUND,
        ((2, "invalid_utf8", None), (3, "invalid_utf8", None)),
    ),
]

CASES = [*TEXTS, *JSONS, *BINARIES]
