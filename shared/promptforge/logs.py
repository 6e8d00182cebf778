"""One JSON object a line on standard error, as Cloud Logging reads it.

Only scalar fields that the caller names are written. Prompts, answers, keys, URLs and the text of foreign
exceptions are never handed to it: of an exception its class name is enough.
"""

import logging
import sys

import orjson

Field = str | int | float | bool | None

_logger = logging.getLogger("promptforge")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        return orjson.dumps({"severity": record.levelname, "event": record.getMessage(), **fields}).decode()


def configure(level: str) -> None:
    """Send our log lines of `level` and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    _logger.handlers = [handler]
    _logger.setLevel(level)
    _logger.propagate = False


def info(event: str, **fields: Field) -> None:
    """Something happened as it should."""
    _logger.info(event, extra={"fields": fields})


def warning(event: str, **fields: Field) -> None:
    """Something went wrong and will be tried again or passed over."""
    _logger.warning(event, extra={"fields": fields})


def error(event: str, **fields: Field) -> None:
    """Something went wrong that a person should look at."""
    _logger.error(event, extra={"fields": fields})
