"""The formats of the lines that go in and come out."""

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
    """A good input line."""

    prompt_id: str
    prompt: str
    params: LineParams | None = None


@dataclass(frozen=True, slots=True)
class InvalidLine:
    """An input line that costs only itself: a stable code, a sentence, and the prompt_id where it can be read."""

    code: str
    message: str
    prompt_id: str | None = None


def is_blank(line: bytes) -> bool:
    """Blank lines are skipped and not counted, but they keep their line number."""
    return not line.strip() and not isinstance(line, LongLine)


def parse_line(line: bytes) -> Prompt | InvalidLine:
    """A non-blank input line (its b"\\r", if any, still on it), judged. Of a repeated key the last one counts."""
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
    """The prompt_ids of the lines that `read_line` calls good, and the positions of all others: its verdict without
    its reasons, at a third of the cost. This is the splitter's inner loop."""
    ids: list[str] = []
    others: list[int] = []
    loads, keep = orjson.loads, ids.append
    for position, line in enumerate(lines):
        if len(line) < MIN_LINE_BYTES:  # above all blank lines: a parser's exception is a hundred times dearer
            others.append(position)
            continue
        try:
            data = loads(line)
            prompt_id, prompt = data["prompt_id"], data.get("prompt")
        except (ValueError, KeyError, TypeError):
            others.append(position)
            continue
        if prompt is None or (len(data) > 2 and not LINE_PARAMS.isdisjoint(data)):
            judged = parse_line(line)
            if isinstance(judged, Prompt):
                keep(judged.prompt_id)
            else:
                others.append(position)
        elif (
            type(prompt_id) is str
            and type(prompt) is str
            and prompt
            and (0 < len(prompt_id) <= _MAX_ID_CHARS_UNCHECKED or (prompt_id and _fits_id_limit(prompt_id)))
        ):
            keep(prompt_id)
        else:
            others.append(position)
    return ids, others


def duplicate_id_error(prompt_id: str, line: int, first_line: int) -> InvalidLine:
    """The verdict on a line whose prompt_id an earlier line has taken."""
    message = f"The prompt_id on line {line} was already used on line {first_line}; only that line is answered."
    return InvalidLine("duplicate_prompt_id", message, prompt_id)


def result_line(prompt_id: str, fields: dict[str, Any], metadata: Metadata = None) -> bytes:
    """A line of results_part_NNN.jsonl."""
    return orjson.dumps({"prompt_id": prompt_id, **fields, **_metadata_field(metadata)}) + b"\n"


def error_line(
    prompt_id: str | None, code: str, message: str, attempts: int, line: int, metadata: Metadata = None
) -> bytes:
    """A line of errors.jsonl. `attempts` counts the calls that were made for the prompt and may have been paid."""
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
    """A line that says more than its prompt. What is wrong with it is told by the field's name, never by its value."""
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
    """The first fault of a validation as a sentence: which field, and what is wrong with it."""
    fault = exc.errors(include_input=False, include_url=False, include_context=False)[0]
    field = ".".join(map(str, fault["loc"]))[:100]
    return f"{field}: {fault['msg'].removeprefix('Value error, ')}."


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
    """Why the parser refuses a text: its own words are the only ones that know."""
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
