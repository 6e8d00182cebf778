"""The native format of input lines, result lines and error lines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from promptforge.domain.formats.field_names import similar_name, similar_parameter, suggestion
from promptforge.domain.formats.json_errors import json_error_reason
from promptforge.domain.formats.large_integers import has_large_integer
from promptforge.domain.formats.lines import LongLine
from promptforge.domain.formats.params import LINE_PARAMS, LineParams, unreturned_output

Metadata = dict[str, Any] | None
PromptId = str | int

MAX_PROMPT_ID_BYTES = 1024
LINE_SEPARATORS = ((b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"), (b"\xc2\x85", rb"\u0085"))
MIN_LINE_BYTES = len('{"prompt_id":1,"prompt":"b"}')
PROMPT_FIELDS = ("prompt_id", "prompt")
_MAX_ID_CHARS_UNCHECKED = MAX_PROMPT_ID_BYTES // 4  # a character is at most four bytes of UTF-8


@dataclass(frozen=True, slots=True)
class Prompt:
    """A valid input line.

    `prompt_id` has the type that it has on the line. Two ids are equal if their texts are equal, as 1 and "1".
    """

    prompt_id: PromptId
    prompt: str
    params: LineParams | None = None


@dataclass(frozen=True, slots=True)
class InvalidLine:
    """The error of an invalid input line: a stable code, a message, and the prompt_id if it is readable."""

    code: str
    message: str
    prompt_id: PromptId | None = None


def is_blank(line: bytes) -> bool:
    """Return whether the line is blank; a blank line is not counted, but keeps its line number."""
    return not line.strip() and not isinstance(line, LongLine)


def parse_line(line: bytes) -> Prompt | InvalidLine:
    """Parse and validate an input line that is not blank.

    A carriage return at the end is accepted. The last value of a duplicate key counts.
    """
    try:
        data = orjson.loads(line)
    except ValueError:
        return _decode_error(line)
    if type(data) is not dict:
        return InvalidLine("not_an_object", 'The line is not a JSON object like {"prompt_id": "...", "prompt": "..."}.')
    prompt_id, prompt = data.get("prompt_id"), data.get("prompt")
    if type(prompt_id) is not int and (type(prompt_id) is not str or not prompt_id or not _fits_id_limit(prompt_id)):
        return _invalid_id(data)
    if "messages" in data and "prompt" not in data:
        prompt = ""
    elif type(prompt) is not str or not prompt:
        return _invalid_prompt(data, prompt_id)
    if len(data) > len(PROMPT_FIELDS) and (error := _misspelled_parameter(prompt_id, data)):
        return error
    if LINE_PARAMS.isdisjoint(data):
        return Prompt(prompt_id, prompt)
    return _parse_params(line, prompt_id, prompt, data)


def valid_prompt_ids(lines: list[bytes]) -> tuple[list[str], list[int]]:
    """Return the prompt_ids of the valid lines as texts, and the positions of all other lines.

    The result is that of `parse_line` without the error messages, at a third of the CPU time.
    This is the inner loop of the splitter. `ignored` holds the names of fields that are no parameters and resemble
    none, so that each name is compared once.
    """
    ids, others, ignored = list[str](), list[int](), set(PROMPT_FIELDS)
    loads, append_id = orjson.loads, ids.append
    for position, line in enumerate(lines):
        if len(line) < MIN_LINE_BYTES:  # mostly blank lines: an exception of the parser takes a hundred times longer
            others.append(position)
            continue
        try:
            data = loads(line)
            prompt_id, prompt = data["prompt_id"], data.get("prompt")
        except (ValueError, KeyError, TypeError):
            others.append(position)
            continue
        if prompt is None or (len(data) > 2 and not ignored.issuperset(data)):
            parsed = parse_line(line)
            if isinstance(parsed, Prompt):
                append_id(str(parsed.prompt_id))
                if parsed.params is None:
                    ignored.update(data)
            else:
                others.append(position)
        elif (
            type(prompt_id) is str
            and type(prompt) is str
            and prompt
            and (0 < len(prompt_id) <= _MAX_ID_CHARS_UNCHECKED or (prompt_id and _fits_id_limit(prompt_id)))
        ):
            append_id(prompt_id)
        elif type(prompt_id) is int and type(prompt) is str and prompt:
            append_id(str(prompt_id))
        else:
            others.append(position)
    return ids, others


def duplicate_id_error(prompt_id: PromptId, line: int, first_line: int) -> InvalidLine:
    """Return the error of a line with the prompt_id of an earlier line."""
    message = f"The prompt_id on line {line} was already used on line {first_line}; only that line is answered."
    return InvalidLine("duplicate_prompt_id", message, prompt_id)


def result_line(prompt_id: PromptId, fields: dict[str, Any], metadata: Metadata = None) -> bytes:
    """Return a line of results_part_NNN.jsonl."""
    return _line({"prompt_id": prompt_id, **fields, **_metadata_field(metadata)})


def error_line(
    prompt_id: PromptId | None,
    code: str,
    message: str,
    attempts: int,
    line: int,
    metadata: Metadata = None,
    details: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a line of errors.jsonl.

    `attempts` counts the calls for the prompt that may have a cost. `details` are further fields.
    """
    fields = {"prompt_id": prompt_id, "error": code, "message": message, "attempts": attempts, "line": line}
    return _line({**fields, **(details or {}), **_metadata_field(metadata)})


def _line(fields: dict[str, Any]) -> bytes:
    """Return a JSON line that every reader of lines takes as one: some also end a line at U+0085, U+2028 or U+2029."""
    line = orjson.dumps(fields) + b"\n"
    if b"\xe2\x80" in line or b"\xc2\x85" in line:
        for character, escape in LINE_SEPARATORS:
            line = line.replace(character, escape)
    return line


def _metadata_field(metadata: Metadata) -> dict[str, Any]:
    return {} if metadata is None else {"metadata": metadata}


def _fits_id_limit(prompt_id: str) -> bool:
    return len(prompt_id) <= _MAX_ID_CHARS_UNCHECKED or len(prompt_id.encode()) <= MAX_PROMPT_ID_BYTES


def _invalid_id(data: dict[str, Any]) -> InvalidLine:
    if "prompt_id" not in data:
        return InvalidLine("missing_prompt_id", "The line has no field prompt_id.")
    prompt_id = data["prompt_id"]
    if type(prompt_id) is float:
        return InvalidLine("invalid_prompt_id", "prompt_id must be a string or an integer of at most 64 bits.")
    if type(prompt_id) is not str:
        message = f"prompt_id must be a string or an integer, not {_json_type(prompt_id)}."
        return InvalidLine("invalid_prompt_id", message)
    if not prompt_id:
        return InvalidLine("invalid_prompt_id", "prompt_id is empty.")
    return InvalidLine("invalid_prompt_id", f"prompt_id is longer than {MAX_PROMPT_ID_BYTES} bytes of UTF-8.")


def _invalid_prompt(data: dict[str, Any], prompt_id: PromptId) -> InvalidLine:
    if "prompt" not in data:
        return InvalidLine("missing_prompt", "The line has no field prompt.", prompt_id)
    if type(data["prompt"]) is not str:
        return InvalidLine("invalid_prompt", f"prompt must be a string, not {_json_type(data['prompt'])}.", prompt_id)
    return InvalidLine("invalid_prompt", "prompt is empty.", prompt_id)


def _misspelled_parameter(prompt_id: PromptId, data: dict[str, Any]) -> InvalidLine | None:
    """Return the error of a field whose name resembles a parameter: to ignore it would drop the user's value."""
    for name in data:
        if name not in LINE_PARAMS and (known := similar_parameter(name)):
            return InvalidLine("invalid_parameter", f"{name}: {suggestion(known)}.", prompt_id)
    return None


def _parse_params(line: bytes, prompt_id: PromptId, prompt: str, data: dict[str, Any]) -> Prompt | InvalidLine:
    """Parse a line that has more fields than its prompt.

    An error names the field and never its value, because the value may be confidential.
    """
    if prompt and "messages" in data:
        return InvalidLine("invalid_parameter", "Give prompt or messages, not both.", prompt_id)
    fields = {name: data[name] for name in LINE_PARAMS if name in data}
    try:
        params = LineParams.model_validate(fields)
    except ValidationError as exc:
        return InvalidLine("invalid_parameter", validation_message(exc), prompt_id)
    if error := unreturned_output(params.extra) or large_integer_error(line, fields):
        return InvalidLine("invalid_parameter", f"{error}.", prompt_id)
    if not prompt and not params.messages:
        return InvalidLine("invalid_parameter", "messages must hold at least one message.", prompt_id)
    return Prompt(prompt_id, prompt, params)


def large_integer_error(text: bytes, data: dict[str, Any]) -> str | None:
    """Return the error of the first field that holds an integer of more than 64 bits, or None."""
    name = next((name for name, value in data.items() if has_large_integer(value, text)), None)
    return name and f"{name}: An integer exceeds 64 bits. Write it as a string"


def validation_message(exc: ValidationError, known: Iterable[str] = ()) -> str:
    """Return the first error of a validation as a sentence with the name of the field.

    `known` are the fields of the model. An unknown field that resembles one of them gets a suggestion.
    """
    error = exc.errors(include_input=False, include_url=False, include_context=False)[0]
    field = ".".join(map(str, error["loc"]))[:100]
    if error["type"] == "extra_forbidden" and (similar := similar_name(field, known)):
        return f"{field}: {suggestion(similar)}."
    return f"{field}: {error['msg'].removeprefix('Value error, ')}."


def _json_type(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", dict: "an object", list: "an array", str: "a string"}
    return names.get(type(value), "a number")


def _decode_error(line: bytes) -> InvalidLine:
    if isinstance(line, LongLine):
        return InvalidLine("line_too_long", f"The line has {len(line)} bytes, more than the limit of {line.limit}.")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return InvalidLine("invalid_utf8", "The line is not valid UTF-8.")
    if text.startswith("\ufeff"):
        return InvalidLine("invalid_json", "A byte order mark may stand only at the very start of the file.")
    return _parse_error(text)


def _parse_error(text: str) -> InvalidLine:
    """Return the error of a text that the parser rejects.

    The message of the parser is the only source for the reason.
    """
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        if "depth" in exc.msg:
            return InvalidLine("json_too_deep", "The line nests more than 1,024 levels of JSON.")
        if "surrogate" in exc.msg:
            return InvalidLine("invalid_utf8", "The line holds half of a surrogate pair, which UTF-8 cannot express.")
        if "infinity" in exc.msg:
            return InvalidLine("invalid_json", "The line holds a number too large to be read.")
        reason = json_error_reason(text, exc.pos, exc.msg)
        return InvalidLine("invalid_json", f"Invalid JSON at column {exc.pos + 1}: {reason}.")
    return InvalidLine("invalid_json", "The line is not valid JSON.")
