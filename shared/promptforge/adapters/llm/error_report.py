"""The error in a reply: its identifiers, and the status that it means."""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from promptforge.ports.provider import ProviderError

IDENTIFIER = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
INDEX = re.compile(r"\[['\"]?(\w+)['\"]?\]")
NO_IDENTIFIER = {"none", "null"}
MIN_SECRET_CHARS = 8
FLAGS = {"reasons", "flagged_input"}
"""The fields of OpenRouter with the reasons of a moderation."""

MAX_MESSAGE_CHARS = 1000
FIRST_WORD = re.compile(r"([A-Za-z_]\w*)[\w.\[\]]*: ")
QUOTED = re.compile(r"[`'\"]([A-Za-z_]\w*)[\w.\[\]]*[`'\"]")

STATUS_OF_NAME = (
    (r"rate.?limit|too.?many|throttl|resource.?exhausted|capacity|quota|^tokens$|^requests$", 429),
    (r"overload|unavailable|slow_down", 503),
    (r"timeout|timed_out|deadline", 504),
    (r"billing|payment|credit|balance", 402),
    (r"unauth|authentication|api_?key", 401),
    (r"permission|forbidden", 403),
    (r"not_?found", 404),
    (r"too_large", 413),
    (r"^cancelled$", 499),
    (r"^unimplemented$|^internal|server_error", 500),
    (
        r"invalid|bad_?request|unprocessable|context_(length|size)|unsupported|unknown_param|content_(filter|policy)"
        r"|moderation|inspection|failed_precondition|out_of_range",
        400,
    ),
)
"""The HTTP status that the name of an error means, by the first pattern that occurs in it."""

OTHER_ERROR_STATUS = 500


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """An error as a provider reports it.

    `message` is the provider's text and `details` are Google's. Both only identify known errors, and are never passed
    on: they may contain a prompt. `flagged` marks an error with the reasons of a moderation.
    """

    identifiers: ProviderError
    message: str
    details: tuple[dict[str, Any], ...] = ()
    flagged: bool = False

    @property
    def status(self) -> int:
        """The status of the reply, or the one that an error inside an answer means."""
        return self.identifiers.status

    @property
    def codes(self) -> set[str]:
        """The names of the error."""
        return {name for name in (self.identifiers.code, self.identifiers.type) if name}

    @property
    def summary(self) -> str:
        """The status and the names, for a message."""
        names = [name for name in (self.identifiers.code or self.identifiers.type, self.identifiers.param) if name]
        return f"HTTP {self.status}" + (f": {', '.join(names)}" if names else "")


def read_report(error: dict[str, Any], status: int, sent: Container[str] = (), secret: str = "") -> ErrorReport:
    """Return the report of an error object.

    `sent` are the names of the request's fields. `secret` is the API key: a provider may repeat it, no report does.
    """

    def first(values: Iterable[Any]) -> str | None:
        return next(filter(None, (_identifier(value, secret) for value in values)), None)

    faults, details = _field_faults(error), _objects(error.get("details"))
    texts = [error.get("message"), *(fault.get(name) for fault in faults for name in ("msg", "description"))]
    message = " ".join(text for text in texts if isinstance(text, str))[:MAX_MESSAGE_CHARS]
    reasons = [one.get("reason") for one in details] + [fault.get("type") for fault in faults]
    own_code = error.get("code")
    identifiers = ProviderError(
        status,
        code=first([_child(error, "details", "error_code"), None if str(own_code) == str(status) else own_code])
        or first([_child(error, "innererror", "code"), *reasons]),
        type=first(name for name in (error.get("type"), error.get("status")) if isinstance(name, str)),
        param=first([error.get("param"), *(_path(fault) for fault in faults)]) or _param_in(message, sent),
    )
    metadata = error.get("metadata")
    flagged = isinstance(metadata, dict) and not FLAGS.isdisjoint(metadata)
    return ErrorReport(identifiers, message, tuple(details), flagged)


def error_object(body: Any) -> dict[str, Any]:
    """Return the error object of a body, or an empty one.

    Google sometimes puts a list around the body. Mistral and FastAPI report the fields at the top, others a text.
    """
    whole = body[0] if isinstance(body, list) and body else body
    if not isinstance(whole, dict):
        return {}
    error = whole.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error, "code": whole.get("code"), "type": whole.get("error_type")}
    return whole if any(name in whole for name in ("message", "detail")) else {}


def reports_error(body: Any) -> bool:
    """Return whether a body with a status of success reports an error at its top."""
    whole = body[0] if isinstance(body, list) and body else body
    if not isinstance(whole, dict):
        return False
    return bool(whole.get("error")) or "error" in (whole.get("object"), whole.get("type"))


def meant_status(error: Mapping[str, Any]) -> int:
    """Return the HTTP status that an error inside an answer means."""
    for field in ("code", "status", "status_code", "http_status"):
        if (status := _status(error.get(field))) is not None:
            return status
    for name in (_child(error, "details", "error_code"), error.get("code"), error.get("type"), error.get("status")):
        if isinstance(name, str):
            for pattern, status in STATUS_OF_NAME:
                if re.search(pattern, name, re.IGNORECASE):
                    return status
    return OTHER_ERROR_STATUS


def clean_text(value: Any) -> str | None:
    """Return the id of a request or the name of a model, if the value is a text that every encoder accepts."""
    return value[:200] if isinstance(value, str) and value and value[:200].isprintable() else None


def clean_identifier(value: Any) -> str | None:
    """Return a short name of the provider, or None for any other text."""
    return value if isinstance(value, str) and IDENTIFIER.fullmatch(value) else None


def _identifier(value: Any, secret: str) -> str | None:
    text = str(value) if type(value) in (int, float) else value
    name = clean_identifier(INDEX.sub(r".\1", text)) if isinstance(text, str) else None
    if name is None or name.lower() in NO_IDENTIFIER:
        return None
    return None if _shows(name, secret) else name


def _shows(name: str, secret: str) -> bool:
    """Whether a name shows the API key, or a part of it.

    Servers without keys get a short one, which is no secret.
    """
    if len(secret) < MIN_SECRET_CHARS:
        return name == secret
    return secret in name or (len(name) >= MIN_SECRET_CHARS and name in secret)


def _status(value: Any) -> int | None:
    try:
        status = int(value) if isinstance(value, str) or type(value) in (int, float) else 0
    except (ValueError, OverflowError):
        return None
    return status if 400 <= status <= 599 else None


def _child(error: Mapping[str, Any], name: str, field: str) -> Any:
    child = error.get(name)
    return child.get(field) if isinstance(child, dict) else None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _field_faults(error: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the faulty fields: those of Google, or those that FastAPI lists."""
    violations = [fault for one in _objects(error.get("details")) for fault in _objects(one.get("fieldViolations"))]
    message = error.get("message")
    detail = message.get("detail") if isinstance(message, dict) else error.get("detail")
    return violations + _objects(detail)


def _path(fault: dict[str, Any]) -> str | None:
    """Return the path of a faulty field."""
    location = fault.get("loc")
    if isinstance(location, list):
        return ".".join(str(step) for step in location if step != "body")
    field = fault.get("field")
    return field if isinstance(field, str) else None


def _param_in(message: str, sent: Container[str]) -> str | None:
    """Return the field of the request that a text names first or in quotes."""
    first = FIRST_WORD.match(message)
    names = ([first[1]] if first else []) + QUOTED.findall(message)
    return next((name for name in names if name in sent), None)
