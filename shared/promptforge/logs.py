"""One JSON object a line on standard error, as Cloud Logging reads it.

Only scalar fields that the caller names are written. Prompts, answers, keys, URLs and the text of foreign
exceptions are never handed to it: of an exception its class name is enough.
"""

import logging
import sys
from typing import TextIO

import orjson

Field = str | int | float | bool | None

_logger = logging.getLogger("promptforge")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        return orjson.dumps({"severity": record.levelname, "event": record.getMessage(), **fields}).decode()


class _Foreign(logging.Formatter):
    """Who spoke and how loudly, not what was said: a framework's text may hold a client's data."""

    def format(self, record: logging.LogRecord) -> str:
        fault = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        line = {"severity": record.levelname, "event": "library_message", "logger": record.name, "error": fault}
        return orjson.dumps(line).decode()


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send our log lines of `level` and above to `stream` (standard error), and a note of what libraries warn of."""
    for logger, formatter, threshold in ((_logger, _JsonLines(), level), (logging.getLogger(), _Foreign(), "WARNING")):
        handler = logging.StreamHandler(stream or sys.stderr)
        handler.setFormatter(formatter)
        logger.handlers = [handler]
        logger.setLevel(threshold)
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
