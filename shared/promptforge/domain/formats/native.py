"""The native format of input lines, result lines and error lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from promptforge.domain.formats.lines import LongLine
from promptforge.domain.formats.params import LINE_PARAMS, LineParams

Metadata = dict[str, Any] | None

MAX_PROMPT_ID_BYTES = 1024
MIN_LINE_BYTES = len('{"prompt_id":"a","prompt":"b"}')
_MAX_ID_CHARS_UNCHECKED = MAX_PROMPT_ID_BYTES // 4  # a character is at most four bytes of UTF-8


@dataclass(frozen=True, slots=True)
class Prompt:
    """A valid input line."""

    prompt_id: str
    prompt: str
    params: LineParams | None = None


@dataclass(frozen=True, slots=True)
class InvalidLine:
    """The error of an invalid input line: a stable code, a message, and the prompt_id if it is readable."""

    code: str
    message: str
    prompt_id: str | None = None


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
    if type(prompt_id) is not str or not prompt_id or not _fits_id_limit(prompt_id):
        return _invalid_id(data)
    if "messages" in data and "prompt" not in data:
        prompt = ""
    elif type(prompt) is not str or not prompt:
        return _invalid_prompt(data, prompt_id)
    if LINE_PARAMS.isdisjoint(data):
        return Prompt(prompt_id, prompt)
    return _parse_params(prompt_id, prompt, data)


def valid_prompt_ids(lines: list[bytes]) -> tuple[list[str], list[int]]:
    """Return the prompt_ids of the valid lines, and the positions of all other lines.

    The result is that of `parse_line` without the error messages, at a third of the CPU time.
    This is the inner loop of the splitter.
    """
    ids: list[str] = []
    others: list[int] = []
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
        if prompt is None or (len(data) > 2 and not LINE_PARAMS.isdisjoint(data)):
            parsed = parse_line(line)
            if isinstance(parsed, Prompt):
                append_id(parsed.prompt_id)
            else:
                others.append(position)
        elif (
            type(prompt_id) is str
            and type(prompt) is str
            and prompt
            and (0 < len(prompt_id) <= _MAX_ID_CHARS_UNCHECKED or (prompt_id and _fits_id_limit(prompt_id)))
        ):
            append_id(prompt_id)
        else:
            others.append(position)
    return ids, others


def duplicate_id_error(prompt_id: str, line: int, first_line: int) -> InvalidLine:
    """Return the error of a line with the prompt_id of an earlier line."""
    message = f"The prompt_id on line {line} was already used on line {first_line}; only that line is answered."
    return InvalidLine("duplicate_prompt_id", message, prompt_id)


def result_line(prompt_id: str, fields: Mapping[str, Any], metadata: Metadata = None) -> bytes:
    """Return a line of results_part_NNN.jsonl."""
    return orjson.dumps({"prompt_id": prompt_id, **fields, **_metadata_field(metadata)}) + b"\n"


def error_line(
    prompt_id: str | None, code: str, message: str, attempts: int, line: int, metadata: Metadata = None
) -> bytes:
    """Return a line of errors.jsonl.

    `attempts` counts the calls for the prompt that may have a cost.
    """
    fields = {"prompt_id": prompt_id, "error": code, "message": message, "attempts": attempts, "line": line}
    return orjson.dumps({**fields, **_metadata_field(metadata)}) + b"\n"


def _metadata_field(metadata: Metadata) -> dict[str, Any]:
    return {} if metadata is None else {"metadata": metadata}


def _fits_id_limit(prompt_id: str) -> bool:
    return len(prompt_id) <= _MAX_ID_CHARS_UNCHECKED or len(prompt_id.encode()) <= MAX_PROMPT_ID_BYTES


def _invalid_id(data: dict[str, Any]) -> InvalidLine:
    if "prompt_id" not in data:
        return InvalidLine("missing_prompt_id", "The line has no field prompt_id.")
    prompt_id = data["prompt_id"]
    if type(prompt_id) is not str:
        return InvalidLine("invalid_prompt_id", f"prompt_id must be a string, not {_json_type(prompt_id)}.")
    if not prompt_id:
        return InvalidLine("invalid_prompt_id", "prompt_id is empty.")
    return InvalidLine("invalid_prompt_id", f"prompt_id is longer than {MAX_PROMPT_ID_BYTES} bytes of UTF-8.")


def _invalid_prompt(data: dict[str, Any], prompt_id: str) -> InvalidLine:
    if "prompt" not in data:
        return InvalidLine("missing_prompt", "The line has no field prompt.", prompt_id)
    if type(data["prompt"]) is not str:
        return InvalidLine("invalid_prompt", f"prompt must be a string, not {_json_type(data['prompt'])}.", prompt_id)
    return InvalidLine("invalid_prompt", "prompt is empty.", prompt_id)


def _parse_params(prompt_id: str, prompt: str, data: dict[str, Any]) -> Prompt | InvalidLine:
    """Parse a line that has more fields than its prompt.

    An error names the field and never its value, because the value may be confidential.
    """
    if prompt and "messages" in data:
        return InvalidLine("invalid_parameter", "Give prompt or messages, not both.", prompt_id)
    try:
        params = LineParams.model_validate({name: data[name] for name in LINE_PARAMS if name in data})
    except ValidationError as exc:
        return InvalidLine("invalid_parameter", validation_message(exc), prompt_id)
    if not prompt and not params.messages:
        return InvalidLine("invalid_parameter", "messages must hold at least one message.", prompt_id)
    return Prompt(prompt_id, prompt, params)


def validation_message(exc: ValidationError) -> str:
    """Return the first error of a validation as a sentence with the name of the field."""
    error = exc.errors(include_input=False, include_url=False, include_context=False)[0]
    field = ".".join(map(str, error["loc"]))[:100]
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
    return InvalidLine("invalid_json", "The line is not valid JSON.")
